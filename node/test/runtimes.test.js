// @ts-check
// Other versions of Node, and other runtimes. README says the same in a table.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { before, test } = require('node:test');
const { promisify } = require('node:util');
const { ROOT } = require('./common.js');
const { install } = require('./runtimes/install.js');

const LIMIT = { timeout: 120_000 };
const STEPS = path.join(__dirname, 'runtimes/steps.js');

/** @type {Map<string, string>} */
let programs = new Map();

before(() => {
  programs = install();
});

/** What each step says. @param {string} name @param {string[]} flags */
async function steps(name, flags = []) {
  const { stdout } = await promisify(execFile)(
    String(programs.get(name)),
    [...flags, STEPS],
    LIMIT,
  );
  const lines = stdout.trimEnd().split('\n');
  return new Map(lines.map((line) => /** @type {[string, string]} */ (line.split(/: (.*)/s, 2))));
}

/** @param {Map<string, string>} said @param {Record<string, RegExp>} [others] */
function worksBut(said, others = {}) {
  assert.ok(said.size >= 13, [...said].join('\n'));
  for (const name of Object.keys(others)) assert.ok(said.has(name), name);
  for (const [name, outcome] of said) assert.match(outcome, others[name] ?? /^works$/, name);
}

for (const version of ['node 18', 'node 22', 'node 24', 'node 26']) {
  test(`${version}: all steps`, LIMIT, async () => worksBut(await steps(version)));
}

// What depends most on Node's inside. The others are for the Node that runs this.
const FILES = ['objects', 'ownership', 'server', 'outbox', 'abort', 'observe', 'parcel', 'send'];

for (const version of ['node 18', 'node 26']) {
  test(`${version}: tests`, LIMIT, async () => {
    const files = FILES.map((name) => path.join(__dirname, `${name}.test.js`));
    const env = { ...process.env };
    delete env.NODE_TEST_CONTEXT;
    const args = ['--expose-gc', '--throw-deprecation', '--test-reporter=tap', '--test', ...files];
    const done = promisify(execFile)(String(programs.get(version)), args, {
      ...LIMIT,
      env,
      cwd: ROOT,
    });
    const { stdout } = await done.catch((error) => assert.fail(error.stdout));
    assert.match(stdout, /^# fail 0$/m);
    assert.ok(Number(/^# pass (\d+)$/m.exec(stdout)?.[1]) > 50, stdout);
  });
}

test('Bun', LIMIT, async () => {
  worksBut(await steps('bun'), {
    'servers of http': /^ERR_INVALID_ARG_TYPE .* must be a server of net \(of this runtime\)/,
    'parcel.datagram()': /^ERR_METHOD_NOT_IMPLEMENTED Bun makes no UDP socket/,
  });
});

test('Deno', LIMIT, async () => {
  const refused = /^(EBADF .* files can be sent there, by number|ERR_METHOD_NOT_IMPLEMENTED Deno )/;
  worksBut(await steps('deno', ['run', '-A']), {
    'readStream, writeStream': refused,
    'parcel.socket()': refused,
    'parcel.server(), parcel.listen()': refused,
    'connections for a server of net, inbox.serve()': refused,
    'handOver() of a server of net': refused,
    'servers of http': refused,
    'parcel.datagram()': refused,
  });
});

test('README says which', () => {
  const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  for (const name of programs.keys()) {
    assert.match(readme, new RegExp(`\\| .*\\b${name.replace(/^node /, '')}\\b.* \\|`, 'i'), name);
  }
});
