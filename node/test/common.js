// @ts-check

const { spawn } = require('node:child_process');
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

/**
 * Runs a script in another process of Node.
 * @param {string} script @param {string[]} args
 */
function run(script, args = [], flags = /** @type {string[]} */ ([])) {
  const prelude = `const sendfd = require(${JSON.stringify(ROOT)});`;
  const child = spawn(process.execPath, [...flags, '-e', prelude + script, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  started.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'exit').then(([code, signal]) => signal ?? code);
  return { child, pid: Number(child.pid), line: async () => (await lines.next()).value, ended };
}

module.exports = { LIMIT, ROOT, countFds, memoryFile, readAll, run };
