// The server and the credentials, which come as an argument of the program; and requests of the service.
'use strict';

const assert = require('node:assert');

const input = JSON.parse(process.argv[2]);
const endpoint = `${input.address}/graphql`;
const bearer = `Bearer ${input.token}`;

async function ask(query, variables) {
  const headers = { 'content-type': 'application/json', authorization: bearer };
  const body = JSON.stringify({ query, variables });
  const answer = await (await fetch(endpoint, { method: 'POST', headers, body })).json();
  assert.equal(answer.errors, undefined, JSON.stringify(answer));
  return answer.data;
}

module.exports = { input, endpoint, bearer, ask };
