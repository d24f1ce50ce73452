// @ts-check
// examples/node/replace.js under load, and share.js.

const assert = require('node:assert/strict');
const { execFile, spawn } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { after, test } = require('node:test');
const { promisify } = require('node:util');
const { LIMIT, ROOT, memoryFile } = require('./common.js');

const EXAMPLES = path.join(ROOT, '../examples/node');

/** @type {import('node:child_process').ChildProcess[]} */
const started = [];
after(() => {
  for (const child of started) child.kill('SIGKILL');
});

/** @param {string[]} args */
async function start(...args) {
  const [script, ...rest] = args;
  const child = spawn(process.execPath, [path.join(EXAMPLES, script), ...rest], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { pid: Number(child.pid), line, ended: once(child, 'exit') };
}

/** @param {http.RequestOptions} options @returns {Promise<string>} */
function ask(options) {
  return new Promise((resolve, reject) => {
    const request = http.get(options, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve(text);
    });
    request.on('error', reject);
  });
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  server.close();
  return port;
}

test('a server is replaced again and again under load, and no request is lost', LIMIT, async () => {
  const port = await freePort();
  let current = await start('replace.js', String(port));
  const pids = [current.pid];
  let goOn = true;
  let count = 0;
  /** @type {Set<number>} */
  const answering = new Set();
  const client = async (/** @type {http.Agent | false} */ agent) => {
    while (goOn) {
      const url = `/${count++}`;
      const answer = await ask({ host: '127.0.0.1', port, agent, path: url });
      const [, told, pid] = /^(\/\d+) answered by (\d+)\n$/.exec(answer) ?? [];
      assert.equal(told, url);
      answering.add(Number(pid));
    }
  };
  const agents = [1, 2].map(() => new http.Agent({ keepAlive: true, maxSockets: 5 }));
  const clients = [
    ...agents.flatMap((agent) => Array.from({ length: 8 }, () => client(agent))),
    ...Array.from({ length: 4 }, () => client(false)),
  ];
  // A request that fails ends the test at once.
  const failed = Promise.all(clients);
  const replacing = async () => {
    for (let round = 0; round < 4; round++) {
      const before = count;
      while (count < before + 200) await new Promise(setImmediate);
      const next = await start('replace.js', '--replace', String(current.pid));
      assert.equal(next.line, `process ${next.pid} serves`);
      assert.deepEqual(await current.ended, [0, null]);
      pids.push(next.pid);
      current = next;
    }
    const before = count;
    while (count < before + 200) await new Promise(setImmediate);
  };
  await Promise.race([replacing(), failed]);
  goOn = false;
  await failed;
  assert.deepEqual([...answering].sort(), pids.sort(), 'all of them have answered');
  for (const agent of agents) agent.destroy();
});

test('a descriptor is fetched by its label', LIMIT, async () => {
  const fd = memoryFile('what is shared');
  const keeper = await start('share.js', 'keep', `notes=/proc/${process.pid}/fd/${fd}`);
  assert.equal(keeper.line, `process ${keeper.pid} keeps notes`);
  const fetch = (/** @type {string} */ label) =>
    promisify(execFile)(process.execPath, [
      path.join(EXAMPLES, 'share.js'),
      'fetch',
      String(keeper.pid),
      label,
    ]);
  assert.equal((await fetch('notes')).stdout, 'what is shared');
  await assert.rejects(fetch('other'), /no such label/);
});
