// The gateway as a Node program would have it: `ws`, a Redis subscriber, maps of users and rooms in memory.
// node node_ws.mjs PORT (environment: BENCH_REDIS_URL, BENCH_JWT_KEY, BENCH_MODULES: a node_modules folder).
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createRequire } from 'node:module'
import { createServer } from 'node:http'

const require = createRequire(process.env.BENCH_MODULES + '/')
const { WebSocketServer } = require('ws')
const { createClient } = require('redis')

const users = new Map()
const rooms = new Map()
const everyone = new Set()

function verify(token) {
  const [head, body, signature] = token.split('.')
  const expected = createHmac('sha256', process.env.BENCH_JWT_KEY).update(`${head}.${body}`).digest()
  const given = Buffer.from(signature ?? '', 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null
  const claims = JSON.parse(Buffer.from(body, 'base64url'))
  return claims.exp > Date.now() / 1000 ? claims : null
}

function add(map, key, socket) {
  if (!map.has(key)) map.set(key, new Set())
  map.get(key).add(socket)
}

function deliver(sockets, data) {
  for (const socket of sockets ?? []) socket.send(data, { binary: false })
}

function receive(socket, data) {
  const message = JSON.parse(data)
  if (message.type === 'join_room') {
    add(rooms, message.content, socket)
    socket.rooms.push(message.content)
    socket.send(JSON.stringify({ type: 'ack', id: message.id }))
  } else if (message.type === 'room_message') {
    deliver(rooms.get(message.room), Buffer.from(JSON.stringify({ ...message, from: socket.user })))
  }
}

const http = createServer((request, response) => response.end('ok'))
const server = new WebSocketServer({ server: http, perMessageDeflate: false, backlog: 4096 })
server.on('connection', (socket, request) => {
  const claims = verify((request.headers.authorization ?? '').replace('Bearer ', ''))
  if (!claims) return socket.close(4401)
  socket.user = claims.user_id
  socket.rooms = []
  everyone.add(socket)
  add(users, claims.user_id, socket)
  socket.on('message', data => receive(socket, data))
  socket.on('error', () => socket.terminate())
  socket.on('close', () => {
    everyone.delete(socket)
    users.get(socket.user)?.delete(socket)
    for (const room of socket.rooms) rooms.get(room)?.delete(socket)
  })
  socket.send(JSON.stringify({ type: 'welcome', data: { user_id: claims.user_id } }))
})

const subscriber = createClient({ url: process.env.BENCH_REDIS_URL })
await subscriber.connect()
await subscriber.pSubscribe('websocket:*', (data, channel) => {
  const [, kind, ...name] = channel.toString().split(':')
  if (kind === 'broadcast') deliver(everyone, data)
  else deliver((kind === 'user' ? users : rooms).get(name.join(':')), data)
}, true)
http.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })
