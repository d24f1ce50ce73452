// @ts-check
// pm2 in cluster mode, where a worker may not listen on a descriptor: listeners go to its workers by their pids.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { Outbox } = require('..');
const { installInto } = require('./runtimes/install.js');

const LIMIT = { timeout: 180_000 };
const PLACE = path.join(__dirname, '../../build/pm2');
const APP = path.join(__dirname, 'pm2-app.js');

/** @param {number} port @returns {Promise<string>} */
function ask(port) {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, agent: false }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve(text);
    });
    request.on('error', reject);
  });
}

/** Gives the worker a listener, and asks there who answers. @param {number} pid */
async function served(pid) {
  const listener = net.createServer().listen(0);
  await once(listener, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (listener.address());
  const outbox = await Outbox.open(pid, { timeout: 60_000 });
  outbox.send(listener);
  await outbox.taken();
  outbox.close();
  listener.close();
  return ask(port);
}

test('workers of pm2, before and after a reload', LIMIT, async () => {
  installInto(PLACE, ['pm2@7.0.4']);
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'sendfd-pm2-'));
  const program = path.join(PLACE, 'node_modules/.bin/pm2');
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true' };
  delete env.NODE_TEST_CONTEXT;
  const pm2 = (/** @type {string[]} */ ...args) =>
    promisify(execFile)(program, args, { ...LIMIT, env });
  const pids = async () => {
    const { stdout } = await pm2('jlist', '--silent');
    /** @type {{ pid: number, pm2_env: { status: string, exec_mode: string } }[]} */
    const all = JSON.parse(stdout);
    for (const { pm2_env } of all) {
      assert.equal(pm2_env.status, 'online');
      assert.equal(pm2_env.exec_mode, 'cluster_mode');
    }
    return all.map(({ pid }) => pid);
  };
  try {
    await pm2('start', APP, '-i', '2');
    const before = await pids();
    assert.equal(before.length, 2);
    for (const pid of before) assert.equal(await served(pid), `worker ${pid}`);
    await pm2('reload', 'all');
    const after = await pids();
    assert.ok(after.length === 2 && !after.some((pid) => before.includes(pid)), `${after}`);
    for (const pid of after) assert.equal(await served(pid), `worker ${pid}`);
  } finally {
    await pm2('kill');
    fs.rmSync(home, { recursive: true });
  }
});
