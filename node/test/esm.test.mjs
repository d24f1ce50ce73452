// @ts-check
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import sendfd, { Inbox, SIGNO, send } from 'sendfd';

test('import gives the same as require', async () => {
  assert.equal(createRequire(import.meta.url)('sendfd'), sendfd);
  const inbox = new Inbox({ signo: SIGNO });
  send(process.pid, 0);
  for await (const parcel of inbox) {
    parcel.close();
    inbox.close();
  }
});
