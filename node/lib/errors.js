const { inspect } = require('node:util');

/** An error that looks like those of Node's own calls. */
function fromFailure({ errno, code, syscall, message }) {
  const error = new Error(message);
  return Object.assign(error, { errno, code, syscall });
}

/** The same as Node throws for an argument of a wrong type. */
function wrongType(name, expected, value) {
  const what = name.includes('.') ? 'property' : 'argument';
  const text = `The "${name}" ${what} must be ${expected}. Received ${described(value)}`;
  return Object.assign(new TypeError(text), { code: 'ERR_INVALID_ARG_TYPE' });
}

function described(value) {
  if (value === undefined || value === null) return String(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'object') {
    const name = value.constructor?.name;
    return name ? `an instance of ${name}` : inspect(value, { depth: -1 });
  }
  let shown = inspect(value, { colors: false });
  if (shown.length > 28) shown = `${shown.slice(0, 25)}...`;
  return `type ${typeof value} (${shown})`;
}

module.exports = { fromFailure, wrongType };
