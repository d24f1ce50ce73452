// Puts the licences into the packages of the platforms, which `napi create-npm-dirs` makes without.

import fs from 'node:fs';

const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT'];

for (const name of fs.readdirSync('npm')) {
  const file = `npm/${name}/package.json`;
  const manifest = JSON.parse(fs.readFileSync(file, 'utf8'));
  manifest.files = [...new Set([...manifest.files, ...LICENCES])];
  fs.writeFileSync(file, `${JSON.stringify(manifest, undefined, 2)}\n`);
  for (const licence of LICENCES) fs.copyFileSync(licence, `npm/${name}/${licence}`);
}
