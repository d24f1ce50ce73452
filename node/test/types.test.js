// @ts-check
// The types, as users see them; and how the package is resolved.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { ROOT } = require('./common.js');
const { installInto } = require('./runtimes/install.js');

const LIMIT = { timeout: 120_000 };
const PLACE = path.join(ROOT, '../build/types');
const OURS = path.join(ROOT, 'node_modules/typescript/bin/tsc');

/** @param {string} program @param {string[]} args @param {string} cwd */
function check(program, args, cwd) {
  try {
    execFileSync(process.execPath, [program, ...args], { cwd, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    assert.fail(/** @type {any} */ (error).stdout || error);
  }
}

for (const [types, files] of /** @type {const} */ ([
  ['18.19.130', ['use.ts']],
  ['26.6.6', ['use.ts', 'once.ts']],
])) {
  test(`with @types/node ${types}, TypeScript 5.9 and 7, as CommonJS and ESM`, LIMIT, () => {
    const place = path.join(PLACE, types);
    installInto(place, ['typescript@5.9.3', `@types/node@${types}`]);
    const sendfd = path.join(place, 'node_modules/sendfd');
    fs.mkdirSync(sendfd, { recursive: true });
    for (const name of ['package.json', 'index.d.ts', 'index.d.mts', 'once.d.ts']) {
      fs.copyFileSync(path.join(ROOT, name), path.join(sendfd, name));
    }
    for (const type of ['commonjs', 'module']) {
      const project = path.join(place, type);
      fs.mkdirSync(project, { recursive: true });
      fs.writeFileSync(path.join(project, 'package.json'), JSON.stringify({ type }));
      for (const file of files) {
        fs.copyFileSync(path.join(__dirname, 'types', file), path.join(project, file));
      }
      const flags = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext'];
      flags.push(
        '--esModuleInterop',
        '--skipLibCheck',
        'false',
        '--lib',
        'es2022,esnext.disposable',
      );
      for (const tsc of [path.join(place, 'node_modules/typescript/bin/tsc'), OURS]) {
        check(tsc, [...flags, '--types', 'node', ...files], project);
      }
    }
  });
}

test('publint and attw find nothing', LIMIT, () => {
  const bin = path.join(ROOT, 'node_modules/.bin');
  check(fs.realpathSync(path.join(bin, 'publint')), ['--strict'], ROOT);
  check(fs.realpathSync(path.join(bin, 'attw')), ['--pack', '.', '--quiet'], ROOT);
});
