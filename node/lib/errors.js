const { inspect } = require('node:util');

/** An error that looks like those of Node's own calls. */
function fromFailure({ errno, code, syscall, message, id }) {
  const hint =
    code === 'ECONNREFUSED' ? '; it may not have opened it yet: Outbox.open() waits for that' : '';
  const error = new Error(message + hint);
  Object.assign(error, { errno, code, syscall });
  // Of a parcel that is kept.
  if (id !== undefined) error.id = id;
  return error;
}

/** The same as Node throws for an argument of a wrong type. */
function wrongType(name, expected, value) {
  const what = name.includes('.') ? 'property' : 'argument';
  const text = `The "${name}" ${what} must be ${expected}. Received ${described(value)}`;
  return coded(TypeError, 'ERR_INVALID_ARG_TYPE', text);
}

/** An error of a class, with a code. */
function coded(Class, code, message) {
  return Object.assign(new Class(message), { code });
}

/** The same as Node rejects with when an AbortSignal has ended a call. */
function aborted(signal) {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  error.name = 'AbortError';
  return Object.assign(error, { code: 'ABORT_ERR' });
}

function described(value) {
  if (value === undefined || value === null) return String(value);
  if (typeof value === 'function') return `function ${text(value.name)}`;
  if (typeof value === 'object') {
    const name = nameOf(value);
    return name ? `an instance of ${name}` : inspect(value, { depth: -1 });
  }
  let shown = inspect(value, { colors: false });
  if (shown.length > 28) shown = `${shown.slice(0, 25)}...`;
  return `type ${typeof value} (${shown})`;
}

/** The name of its class, if it has one. */
function nameOf(value) {
  return text(value.constructor?.name);
}

/** A class can name itself by anything. */
function text(name) {
  return typeof name === 'string' ? name : '';
}

module.exports = { aborted, coded, fromFailure, nameOf, wrongType };
