// The audit of GraphQL over HTTP that npm's graphql-http has, against a running server. The address and the token come as an argument.
'use strict';

const { auditServer } = require('graphql-http');

const { address, token } = JSON.parse(process.argv[2]);
const fetchFn = (url, options = {}) => {
  const headers = new Headers(options.headers);
  headers.set('authorization', `Bearer ${token}`);
  return fetch(url, { ...options, headers });
};

auditServer({ url: `${address}/graphql`, fetchFn }).then((results) => {
  const failed = results.filter(({ status }) => status !== 'ok');
  for (const { id, name, status, reason } of failed) console.log(`${id} ${status}: ${name}: ${reason}`);
  console.log(`${results.length - failed.length} of ${results.length} are ok`);
  process.exit(failed.length === 0 ? 0 : 1);
});
