// Timers and the clock as they were when this package was loaded: test runners put others in their
// place, in which no time passes.

const { performance } = require('node:perf_hooks');
const timers = require('node:timers');

const { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } =
  timers;

module.exports = {
  clearImmediate,
  clearInterval,
  clearTimeout,
  now: performance.now.bind(performance),
  setImmediate,
  setInterval,
  setTimeout,
};
