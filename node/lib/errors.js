/** An error that looks like those of Node's own calls. */
function fromFailure({ errno, code, syscall, message }) {
  const error = new Error(message);
  return Object.assign(error, { errno, code, syscall });
}

/** The same as Node throws for an argument of a wrong type. */
function wrongType(name, expected, value) {
  const kind = value === null ? 'null' : typeof value;
  const error = new TypeError(`The "${name}" argument must be ${expected}. Received ${kind}`);
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' });
}

module.exports = { fromFailure, wrongType };
