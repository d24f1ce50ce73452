// Runtimes from the registry, into build/runtimes of the repository: once.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const PLACE = path.join(__dirname, '../../../build/runtimes');

const { arch } = process;
const oven = arch === 'arm64' ? 'aarch64' : arch;

/** Name: what the registry calls it, and the program in it. */
const RUNTIMES = /** @type {const} */ ({
  'node 18': [`node-linux-${arch}@18.20.8`, 'bin/node'],
  'node 22': [`node-linux-${arch}@22.23.3`, 'bin/node'],
  'node 24': [`node-linux-${arch}@24.21.0`, 'bin/node'],
  'node 26': [`node-linux-${arch}@26.10.0`, 'bin/node'],
  bun: [`@oven/bun-linux-${oven}@1.4.5`, 'bin/bun'],
  deno: [`@deno/linux-${arch}-glibc@2.9.6`, 'deno'],
});

/** The programs, by name. */
function install() {
  const all = Object.entries(RUNTIMES).map(([name, [spec, program]]) => {
    const alias = name.replace(' ', '');
    return {
      name,
      spec: `${alias}@npm:${spec}`,
      program: path.join(PLACE, 'node_modules', alias, program),
    };
  });
  const specs = all.map(({ spec }) => spec);
  installInto(PLACE, specs);
  return new Map(all.map(({ name, program }) => [name, program]));
}

/** Puts packages of the registry into a folder, unless they are there. @param {string} place @param {string[]} specs */
function installInto(place, specs) {
  const stamp = path.join(place, 'installed');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === specs.join('\n')) return;
  fs.rmSync(place, { recursive: true, force: true });
  fs.mkdirSync(place, { recursive: true });
  fs.writeFileSync(path.join(place, 'package.json'), '{}');
  const options = ['--no-audit', '--no-fund', '--no-package-lock', '--no-save', '--ignore-scripts'];
  execFileSync('npm', ['install', ...options, ...specs], { cwd: place, stdio: 'inherit' });
  fs.writeFileSync(stamp, specs.join('\n'));
}

module.exports = { install, installInto };
