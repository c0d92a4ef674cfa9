// The shop as its client sees it through the proxy: logs in, queries, and follows orders over a websocket.
'use strict';

const assert = require('node:assert');
const path = require('node:path');
const { createRequire } = require('node:module');

const WebSocket = createRequire(path.join(__dirname, '../sockets/npm/package.json'))('ws');

const later = (time) => new Promise((done) => setTimeout(done, time));

class Shop {
  // `origin`: of the proxy, such as https://localhost:8443.
  constructor(origin) {
    this.origin = origin;
    this.cookies = new Map();
  }

  get cookie() {
    return [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  // Answers with status, headers and body, and keeps cookies as a browser does.
  async call(method, route, body) {
    const headers = { Cookie: this.cookie, Origin: this.origin, 'X-Csrf-Token': this.cookies.get('csrf-token') ?? '' };
    if (body) headers['Content-Type'] = 'application/json';
    const answer = await fetch(`${this.origin}/api${route}`, { method, headers, body: body && JSON.stringify(body) });
    for (const line of answer.headers.getSetCookie()) {
      assert.match(line, /; Secure/i, `the cookie is not for TLS alone: ${line.split('=')[0]}`);
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json');
    // Each process of a server begins its requests' ids with a part of its own.
    const server = answer.headers.get('request-id')?.split('-')[0];
    return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(text) : text, server };
  }

  async logIn(credentials) {
    await this.call('GET', '/auth/ping');
    const answer = await this.call('POST', '/auth/login', credentials);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  }

  async logOut() {
    const answer = await this.call('POST', '/auth/logout');
    assert.equal(answer.status, 204, JSON.stringify(answer.body));
    return answer;
  }

  // The data of an answer without errors, and which server gave it.
  async ask(query, variables) {
    const { status, body, server } = await this.call('POST', '/graphql', { query, variables });
    if (status !== 200 || body.errors) throw new Error(`${status}: ${JSON.stringify(body).slice(0, 300)}`);
    return { data: body.data, server };
  }

  // Follows a subscription across every loss of its connection, by cursors, until `stop()`. `at` is the server that it is connected to.
  follow(query, variables, next) {
    const state = { stopped: false, connections: 0, at: undefined, ready: false };
    let cursor;
    const once = () => new Promise((ended) => {
      const address = `${this.origin.replace('http', 'ws')}/api/graphql`;
      const socket = new WebSocket(address, 'graphql-transport-ws', { headers: { Cookie: this.cookie, Origin: this.origin } });
      state.socket = socket;
      const send = (message) => socket.send(JSON.stringify(message));
      socket.on('upgrade', (response) => { state.at = response.headers['request-id']?.split('-')[0]; });
      socket.on('open', () => send({ type: 'connection_init' }));
      socket.on('error', () => {});
      socket.on('close', () => { state.ready = false; ended(); });
      socket.on('message', (bytes) => {
        const message = JSON.parse(bytes);
        if (message.type === 'ping') send({ type: 'pong' });
        if (message.type === 'connection_ack') {
          cursor ??= message.payload?.cursor;
          state.connections += 1;
          state.ready = true;
          send({ type: 'subscribe', id: '1', payload: { query, variables, extensions: { cursor } } });
        }
        if (message.type === 'next') {
          cursor = message.payload.extensions?.cursor ?? cursor;
          next(message.payload);
        }
        if (message.type === 'error') next({ errors: message.payload });
      });
    });
    state.done = (async () => {
      while (!state.stopped) {
        await once();
        if (!state.stopped) await later(100);
      }
    })();
    state.stop = () => {
      state.stopped = true;
      state.socket.close();
      return state.done;
    };
    return state;
  }
}

async function until(what, holds, time = 30000) {
  for (const end = Date.now() + time; Date.now() < end; await later(50)) if (await holds()) return;
  throw new Error(`not within ${time} ms: ${what}`);
}

module.exports = { Shop, later, until };
