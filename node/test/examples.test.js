// @ts-check

const assert = require('node:assert/strict');
const { spawn, execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { after, before, test } = require('node:test');
const { send, sendAsync } = require('..');
const { LIMIT, ROOT } = require('./common.js');

const TOP = path.join(ROOT, '..');
const place = fs.mkdtempSync(path.join(os.tmpdir(), 'sendfd-examples-'));
const env = { ...process.env, LD_LIBRARY_PATH: path.join(TOP, 'build') };
/** @type {import('node:child_process').ChildProcess[]} */
const started = [];

before(() => {
  const link = `-L${TOP}/build -lsendfd`;
  const set = [`O=${place}`, `SENDFD_CFLAGS=-I${TOP}/include`, `SENDFD_LIBS=${link}`];
  execFileSync('make', ['-s', '-C', `${TOP}/examples/c`, ...set], { stdio: 'inherit' });
});

after(() => {
  for (const child of started) child.kill('SIGKILL');
  fs.rmSync(place, { recursive: true });
});

/** @param {string} program @param {string[]} args */
async function start(program, ...args) {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(child);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, pid: Number(child.pid), line };
}

/** @param {object} options @param {string} [body] @returns {Promise<string>} */
function request(options, body) {
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: '127.0.0.1', ...options }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve(text);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

test('a C process accepts, unrelated Node processes answer', LIMIT, async () => {
  const script = path.join(TOP, 'examples/node/worker.js');
  const worker = await start(process.execPath, script);
  assert.equal(worker.line, `worker ${worker.pid} is ready`);
  const acceptor = await start(path.join(place, 'acceptor'), String(worker.pid));
  const port = Number(acceptor.line.split(' ').pop());
  const line = `Node worker ${worker.pid}, handed over by process ${acceptor.pid}\n`;
  for (let i = 0; i < 3; i++) assert.equal(await request({ port, agent: false }), line);
});

// Here, for it needs the C library.
test(
  'sendAsync learns that the receiver died, also where a child holds its sockets',
  LIMIT,
  async () => {
    const source = `
    #define _GNU_SOURCE
    #include <sendfd.h>
    #include <signal.h>
    #include <stdio.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(void)
    {
      sendfd_inbox *inbox;
      if (sendfd_inbox_open(SENDFD_SIGNO, SENDFD_INBOX_NOSIGNAL, &inbox) < 0)
        return 1;
      /* Not fork(): the library is not told, and the child does not call it. */
      long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
      if (child > 0) {
        printf("%ld\\n", child);
        fflush(stdout);
      }
      for (;;)
        pause();
    }`;
    const program = path.join(place, 'holder');
    const flags = ['-x', 'c', '-', `-I${TOP}/include`, `-L${TOP}/build`, '-lsendfd', '-o', program];
    execFileSync(process.env.CC ?? 'cc', flags, {
      input: source,
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    const receiver = await start(program);
    const holder = Number(receiver.line);
    try {
      assert.throws(() => {
        for (;;) send(receiver.pid, 0);
      }, /EAGAIN/);
      const sent = sendAsync(receiver.pid, 0);
      receiver.child.kill('SIGKILL');
      await assert.rejects(sent, { code: 'ESRCH' });
    } finally {
      process.kill(holder, 'SIGKILL');
    }
  },
);

test(
  'a C process accepts, a cluster serves HTTP; one of it ends, no request fails',
  LIMIT,
  async () => {
    const script = path.join(TOP, 'examples/node/http.js');
    const workers = await Promise.all([1, 2, 3].map(() => start(process.execPath, script)));
    const pids = workers.map(({ pid }) => pid);
    const acceptor = await start(path.join(place, 'acceptor'), ...pids.map(String));
    const port = Number(acceptor.line.split(' ').pop());
    const ask = async (/** @type {object} */ options, /** @type {string} */ body) =>
      JSON.parse(await request({ port, method: 'POST', path: '/x', ...options }, body));

    const answered = new Map();
    await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const body = 'y'.repeat(i * 5000);
        const { pid, ...rest } = await ask({ agent: false }, body);
        const expected = {
          acceptedBy: acceptor.pid,
          method: 'POST',
          url: '/x',
          length: body.length,
        };
        assert.deepEqual(rest, expected);
        answered.set(pid, (answered.get(pid) ?? 0) + 1);
      }),
    );
    assert.deepEqual([...answered].sort(), pids.map((pid) => [pid, 10]).sort());

    // A connection that is kept stays with the process that has it.
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const { pid: keeper } = await ask({ agent }, '');
    for (let i = 0; i < 10; i++) assert.equal((await ask({ agent }, 'z')).pid, keeper);
    agent.destroy();

    const [{ child, pid: gone }] = workers;
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    for (let i = 0; i < 10; i++) assert.notEqual((await ask({ agent: false }, '')).pid, gone);
  },
);
