// A dependency of WildDuck calls a function that came with Node 22 and matters to worker threads only.
const workers = require('node:worker_threads');
workers.markAsUncloneable ??= () => {};
