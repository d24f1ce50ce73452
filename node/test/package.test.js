// @ts-check

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const sendfd = require('..');
const { LIMIT, ROOT } = require('./common.js');

test('one version in all places', () => {
  const manifest = fs.readFileSync(path.join(ROOT, '../Cargo.toml'), 'utf8');
  const [, version] = /^version = "(.*)"/m.exec(manifest) ?? [];
  assert.equal(require('../package.json').version, version);
  assert.equal(require('../package-lock.json').version, version);
  assert.equal(sendfd.version, version);
});

// What @napi-rs/cli needs; the package itself does not.
const [major, minor] = process.versions.node.split('.').map(Number);
const skip =
  major < 20 || (major === 20 && minor < 17) ? 'the napi command needs Node 20.17' : false;

/** A program may be found there, but no compiler. */
const PLAIN = `${path.dirname(process.execPath)}:/usr/bin:/bin`;

/** @param {string[]} args @param {string} cwd */
function npm(args, cwd, PATH = process.env.PATH) {
  const env = { ...process.env, PATH };
  return execFileSync('npm', args, { cwd, env, encoding: 'utf8', stdio: 'pipe' });
}

test('as it is published: installed without a compiler, and without an addon', {
  ...LIMIT,
  skip,
}, () => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'sendfd-package-'));
  /** @param {string} cwd */
  const pack = (cwd) => {
    const [{ filename }] = JSON.parse(npm(['pack', '--json', '--pack-destination', place], cwd));
    return path.join(place, filename);
  };
  /** @param {string} name @param {string[]} packages */
  const install = (name, packages) => {
    const app = path.join(place, name);
    fs.mkdirSync(app);
    fs.writeFileSync(path.join(app, 'package.json'), '{}');
    npm(['install', '--offline', '--no-audit', '--no-fund', ...packages], app, PLAIN);
    return app;
  };
  try {
    for (const name of ['package.json', 'licences.mjs', 'LICENSE-APACHE', 'LICENSE-MIT']) {
      fs.copyFileSync(path.join(ROOT, name), path.join(place, name));
    }
    const [addon] = fs.readdirSync(ROOT).filter((name) => name.endsWith('.node'));
    const [, platform] = /^sendfd\.(.*)\.node$/.exec(addon) ?? [];
    // This one stands for those of the other platforms.
    const names = ['x64-gnu', 'x64-musl', 'arm64-gnu', 'arm64-musl'].map((name) => `linux-${name}`);
    for (const name of names) {
      fs.mkdirSync(path.join(place, 'artifacts', name), { recursive: true });
      const file = path.join(place, 'artifacts', name, `sendfd.${name}.node`);
      fs.copyFileSync(path.join(ROOT, addon), file);
    }
    npm(['run', 'artifacts'], place, `${path.join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`);
    assert.deepEqual(fs.readdirSync(path.join(place, 'npm')).sort(), names.sort());

    const own = pack(ROOT);
    const app = install('app', [own, pack(path.join(place, 'npm', String(platform)))]);
    for (const name of ['sendfd', `sendfd-${platform}`]) {
      const installed = path.join(app, 'node_modules', name);
      for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) {
        assert.ok(fs.existsSync(path.join(installed, licence)), `${name}: ${licence}`);
      }
      assert.equal(require(path.join(installed, 'package.json')).license, 'MIT OR Apache-2.0');
    }
    const use = 'sendfd.send(process.pid, 0, { signo: 51 });';
    const open = 'new sendfd.Inbox({ signo: 51 }).once("parcel", function (it) {';
    const show = 'console.log(it.pid); it.close(); this.close(); });';
    for (const [name, load] of [
      ['app.cjs', "const sendfd = require('sendfd');"],
      ['app.mjs', "import sendfd from 'sendfd';"],
    ]) {
      fs.writeFileSync(path.join(app, name), [load, open, show, use].join('\n'));
      const shown = execFileSync(process.execPath, [name], { cwd: app, encoding: 'utf8' });
      assert.match(shown, /^\d+\n$/);
    }

    const without = install('without', [own]);
    const load = () =>
      execFileSync(process.execPath, ['-e', "require('sendfd')"], {
        cwd: without,
        encoding: 'utf8',
        stdio: 'pipe',
      });
    const sentence = (/** @type {string} */ reason) =>
      new RegExp(
        `Error: sendfd has no addon for ${platform}: .*${reason}.*; build it with "make node" .*` +
          `put sendfd.${platform}.node into .*/node_modules/sendfd`,
      );
    assert.throws(load, sentence(`no package sendfd-${platform} is installed`));
    // One that does not fit.
    const misplaced = path.join(without, 'node_modules/sendfd', `sendfd.${platform}.node`);
    fs.writeFileSync(misplaced, 'no library');
    assert.throws(load, sentence('(file too short|invalid ELF header)'));
    fs.copyFileSync(path.join(ROOT, addon), misplaced);
    const manifest = path.join(without, 'node_modules/sendfd/package.json');
    const other = fs.readFileSync(manifest, 'utf8').replace(sendfd.version, '99.0.0');
    fs.writeFileSync(manifest, other);
    assert.throws(load, sentence(`version ${sendfd.version}, this package of 99.0.0`));
  } finally {
    fs.rmSync(place, { recursive: true });
  }
});

test('C libraries are told apart', () => {
  for (const [library, name] of [
    ['/lib/ld-musl-x86_64.so.1', 'musl'],
    ['/usr/lib/libc.so', 'musl'],
    ['/usr/lib/x86_64-linux-gnu/libc.so.6', 'gnu'],
    ['/lib/libc-2.17.so', 'gnu'],
  ]) {
    const script = `
      const fs = require('node:fs');
      const { existsSync, readFileSync } = fs;
      fs.readFileSync = (file, ...rest) =>
        file === '/proc/self/maps'
          ? '7f00-7f01 r-xp 0 0:0 1    ${library}\\n7f01-7f02 rw-p 0 0:0 0\\n'
          : readFileSync(file, ...rest);
      fs.existsSync = (file) => !file.endsWith('.node') && existsSync(file);
      require(${JSON.stringify(ROOT)});`;
    const load = () => execFileSync(process.execPath, ['-e', script], { stdio: 'pipe' });
    assert.throws(
      load,
      new RegExp(
        `sendfd has no addon for linux-[a-z0-9]+-${name}: no package sendfd-linux-.*-${name} is`,
      ),
    );
  }
});

test('platforms that have none', () => {
  const script = `
    Object.defineProperty(process, 'arch', { value: 'riscv64' });
    require(${JSON.stringify(ROOT)});`;
  const load = () => execFileSync(process.execPath, ['-e', script], { stdio: 'pipe' });
  assert.throws(
    load,
    /sendfd has no addon for linux-riscv64-gnu: there is one for linux-x64-gnu, .*; build it/,
  );
});
