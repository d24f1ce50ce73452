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

test('as it is published: installed without a compiler', { ...LIMIT, skip }, () => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'sendfd-package-'));
  /** @param {string[]} args @param {string} cwd */
  const npm = (args, cwd, env = process.env) =>
    execFileSync('npm', args, { cwd, env, encoding: 'utf8', stdio: 'pipe' });
  /** @param {string} cwd */
  const pack = (cwd) => {
    const [{ filename }] = JSON.parse(npm(['pack', '--json', '--pack-destination', place], cwd));
    return path.join(place, filename);
  };
  try {
    fs.copyFileSync(path.join(ROOT, 'package.json'), path.join(place, 'package.json'));
    const [addon] = fs.readdirSync(ROOT).filter((name) => name.endsWith('.node'));
    const [, platform] = /^sendfd\.(.*)\.node$/.exec(addon) ?? [];
    // This one stands for those of the other platforms.
    const names = ['x64-gnu', 'x64-musl', 'arm64-gnu', 'arm64-musl'].map((name) => `linux-${name}`);
    for (const name of names) {
      fs.mkdirSync(path.join(place, 'artifacts', name), { recursive: true });
      const file = path.join(place, 'artifacts', name, `sendfd.${name}.node`);
      fs.copyFileSync(path.join(ROOT, addon), file);
    }
    const PATH = `${path.join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`;
    npm(['run', 'artifacts'], place, { ...process.env, PATH });
    assert.deepEqual(fs.readdirSync(path.join(place, 'npm')).sort(), names.sort());

    const packages = [pack(ROOT), pack(path.join(place, 'npm', String(platform)))];
    const app = path.join(place, 'app');
    fs.mkdirSync(app);
    fs.writeFileSync(path.join(app, 'package.json'), '{}');
    npm(['install', '--offline', '--no-audit', '--no-fund', ...packages], app);
    for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) {
      assert.ok(fs.existsSync(path.join(app, 'node_modules/sendfd', name)), name);
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
  } finally {
    fs.rmSync(place, { recursive: true });
  }
});
