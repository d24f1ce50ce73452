// @ts-check

const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { after } = require('node:test');

const ROOT = path.join(__dirname, '..');

/** Time limit of a test that starts processes. */
const LIMIT = { timeout: 60_000 };

/** @type {import('node:child_process').ChildProcess[]} */
const started = [];

// What a failed test left open must not keep the others waiting, nor outlive them.
after(() => {
  for (const child of started) child.kill('SIGKILL');
  setTimeout(() => process.exit(1), 5000).unref();
});

/** How many descriptors this process has. */
function countFds() {
  return fs.readdirSync('/proc/self/fd').length;
}

/** @param {string} text @param {string} name */
function memoryFile(text, name = 'file') {
  const dir = fs.mkdtempSync('/dev/shm/sendfd-');
  const file = path.join(dir, name);
  fs.writeFileSync(file, text);
  const fd = fs.openSync(file, 'r');
  fs.rmSync(dir, { recursive: true });
  return fd;
}

/** @param {number} fd */
function readAll(fd) {
  const buffer = Buffer.alloc(1 << 16);
  return buffer.subarray(0, fs.readSync(fd, buffer, 0, buffer.length, 0)).toString();
}

/** A pipe: the end to read from, and the end to write to. */
function pipe() {
  const dir = fs.mkdtempSync('/dev/shm/sendfd-');
  const file = path.join(dir, 'pipe');
  execFileSync('mkfifo', [file]);
  const both = fs.openSync(file, fs.constants.O_RDWR);
  const ends = [fs.openSync(file, 'r'), fs.openSync(file, 'w')];
  fs.closeSync(both);
  fs.rmSync(dir, { recursive: true });
  return ends;
}

/**
 * Runs a script in another process of Node, with a limit of its own on descriptors if one is given.
 * @param {string} script @param {string[]} [args] @param {string[]} [flags] @param {number} [limit]
 */
function run(script, args = [], flags = [], limit = undefined) {
  const prelude = `const sendfd = require(${JSON.stringify(ROOT)});`;
  const limited = limit ? ['sh', '-c', `ulimit -n ${limit}; exec "$@"`, 'sh'] : [];
  const command = [...limited, process.execPath, ...flags, '-e', prelude + script, ...args];
  const child = spawn(command[0], command.slice(1), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  started.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'exit').then(([code, signal]) => signal ?? code);
  return { child, pid: Number(child.pid), line: async () => (await lines.next()).value, ended };
}

module.exports = { LIMIT, ROOT, countFds, memoryFile, pipe, readAll, run };
