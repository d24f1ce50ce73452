// Timers and the clock, as they were when this package was loaded: test runners put others in their
// place, in which no time passes.

const { clearImmediate, clearTimeout, setImmediate, setTimeout } = require('node:timers');

module.exports = { clearImmediate, clearTimeout, setImmediate, setTimeout };
