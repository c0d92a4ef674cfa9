// The shop's own client for subscriptions: prints that it has been loaded, then each connection, event, error and end, a line each.
// The server, the cookies and the query come as a line of input.
'use strict';

const WebSocket = require('ws');
const { SubscriptionClient } = require('subscriptions-transport-ws');

const tell = (kind, value) => process.stdout.write(`${JSON.stringify({ [kind]: value })}\n`);

const connect = (input) => {
  const socket = class extends WebSocket {
    constructor(address, protocols) {
      super(address, protocols, { headers: { Cookie: input.cookies, Origin: input.address } });
      tell('attempt', true);
    }
  };
  const address = `${input.address}/graphql`.replace('http', 'ws');
  const client = new SubscriptionClient(address, { reconnect: true, lazy: true }, socket);
  client.onConnected(() => tell('connected', true));
  client.onReconnected(() => tell('connected', true));
  client.request({ query: input.query, variables: {}, operationName: null }).subscribe({
    next: (event) => tell('event', event),
    error: (error) => tell('error', error),
    complete: () => tell('complete', true),
  });
};

process.stdin.once('data', (line) => connect(JSON.parse(line)));
tell('loaded', true);
