import assert from "node:assert/strict";
import { test } from "node:test";
import { claims } from "../../realtime/static/realtime/client/token.js";
import { jwt, until } from "./fake_gateway.js";
import { pair } from "./setup.js";

const soon = (ms) => (Date.now() + ms) / 1000;

test("claims are read from any JWT, and from nothing else", () => {
  assert.equal(claims(jwt({ user_id: "爱丽丝" })).user_id, "爱丽丝");
  for (const bad of ["", "a.b.c", "x", "a.bnVsbA.c"]) assert.deepEqual(claims(bad), {});
});

test("a token function is asked at every connect", async (t) => {
  const { gateway, client } = await pair(t);
  let count = 0;
  const asked = [];
  client.connect(async (why) => {
    asked.push(why);
    return jwt({ jti: `${++count}` });
  });
  await until(() => client.isConnected());
  gateway.cut();
  await until(() => gateway.peers.length === 2);
  assert.deepEqual(gateway.peers.map(({ token }) => claims(token).jti), ["1", "2"]);
  assert.deepEqual(asked, ["connect", "connect"]);
});

test("a token function that fails is asked again with backoff, and each failure is told", async (t) => {
  const { gateway, client, errors } = await pair(t);
  let left = 4;
  client.connect(() => (left-- > 0 ? Promise.reject(new Error("login service is down")) : jwt()));
  await until(() => client.isConnected());
  assert.equal(errors.length, 4);
  assert.equal(gateway.peers.length, 1);
});

test("a token function that throws at once is treated alike", async (t) => {
  const { client, errors } = await pair(t);
  let left = 1;
  client.connect(() => {
    if (left-- > 0) throw new Error("not yet");
    return jwt();
  });
  await until(() => client.isConnected());
  assert.equal(errors[0].message, "not yet");
});

test("a token function that never answers does not hang the client", async (t) => {
  const { client } = await pair(t, { connectTimeout: 20 });
  let first = true;
  client.connect(() => (first ? new Promise(() => (first = false)) : jwt()));
  await until(() => client.isConnected());
});

test("null from the token function ends the connection", async (t) => {
  const { gateway, client, downs } = await pair(t);
  client.connect(() => null);
  await until(() => client.state === "closed");
  assert.equal(downs[0].code, 4401);
  assert.equal(gateway.peers.length, 0);
});

test("the token is replaced on the live connection before it expires", async (t) => {
  const { gateway, client, downs } = await pair(t);
  const tokens = [jwt({ jti: "1", exp: soon(300) }), jwt({ jti: "2", exp: soon(600) }), jwt({ jti: "3", exp: soon(3600) })];
  const asked = [];
  client.connect((why) => {
    asked.push(why);
    return tokens.shift();
  });
  await until(() => gateway.last?.of("refresh_token").length === 2);
  const sent = gateway.last.of("refresh_token").map(({ content }) => claims(content.token).jti);
  assert.deepEqual(sent, ["2", "3"]);
  assert.deepEqual(asked, ["connect", "refresh", "refresh"]);
  assert.deepEqual(downs, []);
  assert.equal(client.isConnected(), true);
});

test("the answer to a refresh is not shown to the application", async (t) => {
  const { gateway, client } = await pair(t);
  const heard = [];
  client.on("*", ({ type }) => heard.push(type));
  const tokens = [jwt({ exp: soon(300) }), jwt({ jti: "2" })];
  client.connect(() => tokens.shift());
  await until(() => gateway.last?.of("refresh_token").length === 1);
  await client.request({ type: "ping" });
  assert.deepEqual(heard, ["welcome", "pong"]);
});

test("the server's clock decides when a token is about to expire", async (t) => {
  const { gateway, client } = await pair(t);
  gateway.onConnect = (peer) => gateway.welcome(peer, { server_time: soon(3600 * 1000) });
  const tokens = [jwt({ exp: soon(3600 * 1000 + 200) }), jwt({ jti: "2", exp: soon(7200 * 1000) })];
  client.connect(() => tokens.shift());
  await until(() => gateway.last?.of("refresh_token").length === 1);
});

test("a server that warns of the expiry gets a new token at once", async (t) => {
  const { gateway, client } = await pair(t);
  let count = 0;
  client.connect(() => jwt({ jti: `${++count}` }));
  await until(() => client.isConnected());
  gateway.last.send({ type: "token_expiring" });
  await until(() => gateway.last.of("refresh_token").length === 1);
});

test("a server that takes no token on a live connection gets a new connection with it", async (t) => {
  const { gateway, client, messages } = await pair(t);
  gateway.script.refresh_token = (peer, message) => gateway.refuse(peer, message, 422);
  const tokens = [jwt({ exp: soon(200) }), jwt({ jti: "2" }), jwt({ jti: "3" })];
  client.connect(() => tokens.shift());
  await until(() => gateway.peers.length === 2 && client.isConnected());
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
  assert.equal(claims(gateway.last.token).jti, "3");
  assert.equal(gateway.live.length, 1);
});

test("after 4401 the function is told that its token was refused, and a new one is used", async (t) => {
  const { gateway, client } = await pair(t);
  const asked = [];
  client.connect((why) => {
    asked.push(why);
    return jwt({ jti: `${asked.length}` });
  });
  await until(() => client.isConnected());
  gateway.last.close(4401, "expired");
  await until(() => gateway.peers.length === 2 && client.isConnected());
  assert.deepEqual(asked, ["connect", "refused"]);
});

test("the same token again after 4401 ends it", async (t) => {
  const { gateway, client, downs } = await pair(t);
  const token = jwt();
  client.connect(() => token);
  await until(() => client.isConnected());
  gateway.last.close(4401, "revoked");
  await until(() => client.state === "closed");
  assert.equal(downs.at(-1).code, 4401);
  assert.equal(gateway.peers.length, 1);
});

test("three fresh tokens refused in a row end it", async (t) => {
  const { gateway, client } = await pair(t);
  gateway.onConnect = (peer) => peer.close(4401, "no");
  let count = 0;
  client.connect(() => jwt({ jti: `${++count}` }));
  await until(() => client.state === "closed");
  assert.equal(count, 3);
});

test("without a token no subprotocol is offered", async (t) => {
  const { gateway, client } = await pair(t);
  client.connect();
  await until(() => client.isConnected());
  assert.equal(gateway.last.token, undefined);
});
