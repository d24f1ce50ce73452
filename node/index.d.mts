import * as sendfd from './index.js';

export * from './index.js';
export default sendfd;
