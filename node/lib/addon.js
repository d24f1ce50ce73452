// Finds the addon: in this folder, where it was built, else in the package for this platform.

const fs = require('node:fs');
const path = require('node:path');
const { version } = require('../package.json');

/** Written out, so that bundlers see them. */
const PACKAGES = {
  'linux-x64-gnu': () => require('sendfd-linux-x64-gnu'),
  'linux-x64-musl': () => require('sendfd-linux-x64-musl'),
  'linux-arm64-gnu': () => require('sendfd-linux-arm64-gnu'),
  'linux-arm64-musl': () => require('sendfd-linux-arm64-musl'),
};

const ROOT = path.join(__dirname, '..');

/** Such as linux-x64-gnu. */
function platform() {
  const { platform, arch } = process;
  return platform === 'linux' ? `${platform}-${arch}-${libc()}` : `${platform}-${arch}`;
}

/** The C library that this process runs on, by what is mapped into it: musl is one file with two names. */
function libc() {
  try {
    const mapped = fs.readFileSync('/proc/self/maps', 'latin1');
    return /\/(ld-musl-.*|libc\.so)$/m.test(mapped) ? 'musl' : 'gnu';
  } catch {
    return fs.existsSync('/etc/alpine-release') ? 'musl' : 'gnu';
  }
}

function load() {
  const name = platform();
  const built = path.join(ROOT, `sendfd.${name}.node`);
  try {
    const addon = fs.existsSync(built) ? require(built) : fromPackage(name);
    if (addon.VERSION === version) return addon;
    throw new Error(`it is of version ${addon.VERSION}, this package of ${version}`);
  } catch (cause) {
    throw missing(name, cause);
  }
}

function fromPackage(name) {
  if (!PACKAGES[name]) throw new Error(`there is one for ${Object.keys(PACKAGES).join(', ')}`);
  return PACKAGES[name]();
}

function missing(name, cause) {
  const reason =
    cause.code === 'MODULE_NOT_FOUND' ? `no package sendfd-${name} is installed` : cause.message;
  const how =
    `build it with "make node" in the sources of libsendfd, which needs cargo, ` +
    `and put sendfd.${name}.node into ${ROOT}`;
  const error = new Error(`sendfd has no addon for ${name}: ${reason}; ${how}`, { cause });
  return Object.assign(error, { code: 'ERR_SENDFD_NO_ADDON' });
}

const addon = load();
// What stands for libuv there aborts the process, or tells of one event.
if (process.versions.bun || process.versions.deno) addon.pollByHelper();

module.exports = addon;
