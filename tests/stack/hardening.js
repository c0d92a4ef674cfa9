// A stack's protection as seen from outside: headers, paths that are closed, cookies over https.
//   node hardening.js ORIGIN HTTP_ORIGIN ENVIRONMENT SELLER PASSWORD [SELLER_WITH_A_LARGE_TOKEN]
'use strict';

const assert = require('node:assert');
const https = require('node:https');

const { Shop } = require('./shop');

const [origin, plainOrigin, environment, username, password, large] = process.argv.slice(2);
const { host, hostname, port } = new URL(origin);
const inProduction = environment === 'production';

const TYPENAME = { query: '{ __typename }' };
const SCHEMA = { query: '{ __schema { queryType { name } } }' };

// A path as it stands: `fetch` would resolve its dots. Headers that were sent twice are joined by a comma.
function ask(method, path, headers = {}) {
  return new Promise((answered, failed) => {
    const request = https.request({ hostname, port, method, path, headers: { Host: host, ...headers } }, (answer) => {
      let body = '';
      answer.on('data', (bytes) => { body += bytes; });
      answer.on('end', () => {
        const raw = answer.rawHeaders;
        const all = (name) => raw.filter((_, at) => at % 2 === 1 && raw[at - 1].toLowerCase() === name).join(', ');
        answered({ status: answer.statusCode, type: answer.headers['content-type'] ?? '', all, body });
      });
    });
    request.on('error', failed);
    request.end();
  });
}

// Of every answer, of nginx and of the servers.
function checkHeaders(what, { all }) {
  assert.equal(all('strict-transport-security'), 'max-age=31536000', what);
  assert.equal(all('x-content-type-options'), 'nosniff', what);
  assert.equal(all('referrer-policy'), 'same-origin', what);
  assert.equal(all('server'), 'nginx', what);
}

function directives(policy) {
  return new Map(policy.split(';').map((directive) => directive.trim().split(/\s+/)).map(([name, ...sources]) => [name, sources.join(' ')]));
}

async function webApp() {
  for (const [path, type] of [['/', 'text/html'], ['/orders/1', 'text/html'], ['/app.js', 'javascript']]) {
    const page = await ask('GET', path);
    assert.equal(page.status, 200, path);
    assert.match(page.type, new RegExp(type), path);
    checkHeaders(path, page);
    const policy = directives(page.all('content-security-policy'));
    assert.equal(policy.get('default-src'), "'self'", path);
    assert.equal(policy.get('frame-ancestors'), "'none'", path);
    assert.equal(policy.get('object-src'), "'none'", path);
    assert.equal(policy.get('base-uri'), "'self'", path);
    assert.match(policy.get('script-src'), /^'self' https:\/\/storage\.googleapis\.com\/workbox-cdn\/$/, path);
  }
  const plain = await fetch(`${plainOrigin}/orders/1`, { redirect: 'manual' });
  assert.equal(plain.status, 308);
  assert.match(plain.headers.get('location'), /^https:\/\/localhost.*\/orders\/1$/);
  console.log('the web app: Content-Security-Policy without frames, nosniff, Referrer-Policy and HSTS; http leads to https');
}

async function json() {
  for (const [method, path, status] of [['GET', '/api/healthz', 200], ['POST', '/api/graphql', 403], ['GET', '/api/auth/ping', 200], ['GET', '/api/nothing', 404]]) {
    const answer = await ask(method, path, method === 'POST' ? { 'Content-Type': 'application/json' } : {});
    assert.equal(answer.status, status, path);
    assert.match(answer.type, /json/, path);
    checkHeaders(path, answer);
  }
  console.log('JSON: nosniff, Referrer-Policy and HSTS, each once');
}

// However a path is spelled that is not for everybody.
async function closedPaths() {
  const spellings = (name) => [
    `/api/${name}`, `/api/${name}/`, `/api/${name}?a=b`, `/api//${name}`, `//api/${name}`, `/api/./${name}`, `/api/graphql/../${name}`,
    `/api/%${name.charCodeAt(0).toString(16)}${name.slice(1)}`, `/api/${name}%2f`, `/api/%2e/${name}`, `/api/${name};a`, `/API/${name}`,
  ];
  let tried = 0;
  for (const name of ['metrics', 'readyz', 'version']) {
    for (const path of spellings(name)) {
      const { status, body } = await ask('GET', path, { Accept: 'text/plain' });
      // In capitals it is a page of the web app's.
      if (status !== 404) assert.match(body, /the web app/, `${path}: ${status}`);
      assert.doesNotMatch(body, /gom_|"checks"|revision/, path);
      tried += 1;
    }
  }
  console.log(`/api/metrics, /api/readyz and /api/version are closed, in ${tried} spellings`);
}

async function descriptions(seller) {
  for (const path of ['/api/openapi', '/api/openapi.json', '/api/openapi.css']) {
    assert.equal((await ask('GET', path)).status, inProduction ? 404 : 200, path);
  }
  const { body } = await seller.call('POST', '/graphql', SCHEMA);
  assert.equal(Boolean(body.data?.__schema), !inProduction, JSON.stringify(body));
  const { body: page } = await ask('GET', '/api/graphql', { Accept: 'text/html' });
  assert.equal(/graphiql/i.test(page), !inProduction, 'GraphiQL');
  console.log(`/openapi, introspection and GraphiQL are ${inProduction ? 'off' : 'on'}`);
}

// The names of an answer's cookies, and what stands beside each.
function cookiesOf(headers) {
  return new Map(headers.getSetCookie().map((line) => {
    const [pair, ...attributes] = line.split(/; */);
    return [pair.split('=')[0], attributes];
  }));
}

function checkCookies(set, names, hidden) {
  assert.deepEqual([...set.keys()].sort(), [...names].sort());
  for (const [name, attributes] of set) {
    assert.ok(attributes.includes('Secure') && attributes.includes('Path=/') && attributes.includes('SameSite=Lax'), `${name}: ${attributes}`);
    // The browser takes a name with `__Host-` only so.
    assert.ok(!attributes.some((attribute) => /^Domain/i.test(attribute)), name);
    assert.equal(attributes.includes('HttpOnly'), hidden.includes(name), name);
  }
}

async function cookies() {
  const hidden = ['__Host-session-id', 'session-id', 'device'];
  const seller = new Shop(origin);
  const ping = await seller.call('GET', '/auth/ping');
  checkCookies(cookiesOf(ping.headers), ['__Host-session-id', 'session-id', 'csrf-token'], hidden);
  const login = await seller.call('POST', '/auth/login', { grantType: 'password', username, password });
  assert.equal(login.status, 200, JSON.stringify(login.body));
  const all = ['__Host-session-id', 'session-id', 'session-token', 'csrf-token', 'device'];
  checkCookies(cookiesOf(login.headers), all, hidden);

  // Each name of the session is enough, and the one that no neighbouring host can set counts first.
  for (const [name, value] of [['__Host-session-id', null], ['session-id', null], ['session-id', 's:planted.by-a-neighbour']]) {
    const browser = new Shop(origin);
    for (const [kept, as] of seller.cookies) browser.cookies.set(kept, as);
    if (value === null) browser.cookies.delete(name);
    else browser.cookies.set(name, value);
    assert.equal((await browser.call('POST', '/graphql', TYPENAME)).status, 200, `with ${name}: ${value}`);
  }
  console.log(`cookies of a login: ${all.join(', ')}; all of this host and for https only, scripts read session-token and csrf-token`);
  return seller;
}

async function largeToken() {
  const seller = new Shop(origin);
  await seller.call('GET', '/auth/ping');
  const login = await seller.call('POST', '/auth/login', { grantType: 'password', username: large, password });
  assert.equal(login.status, 200, JSON.stringify(login.body));
  const bytes = login.headers.getSetCookie().join('').length;
  assert.ok(bytes > 4096, `the cookies have ${bytes} bytes only`);
  assert.equal((await seller.call('POST', '/graphql', TYPENAME)).status, 200);
  console.log(`a login with ${bytes} bytes of cookies goes through`);
}

async function main() {
  await webApp();
  await json();
  await closedPaths();
  await descriptions(await cookies());
  if (large) await largeToken();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
