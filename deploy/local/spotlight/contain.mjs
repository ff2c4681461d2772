// Keeps Spotlight on this machine: loaded before it by `node --import`.
//
// Spotlight listens on every interface, and both its server and its page report to its makers. Here it listens on
// loopback, connects to nothing else, looks up no name, starts no program, answers only to loopback names (so that a
// page elsewhere can't read traces by rebinding its own name), and its page may speak to its own server alone.
import childProcess from "node:child_process";
import dgram from "node:dgram";
import dns from "node:dns";
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

const HOST = "127.0.0.1";
const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]", "::1"]);
const pagePolicy = (port) => [
  "default-src 'self'",
  `connect-src 'self' http://localhost:${port} http://${HOST}:${port}`, // itself: the page calls it localhost
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "worker-src 'self' blob:",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const refused = () => Object.assign(new Error("refused: Spotlight is kept on this machine"), { code: "ECONNREFUSED" });

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const callback = args.find((argument) => typeof argument === "function");
  const [first] = args;
  const port = typeof first === "object" && first !== null ? first.port : first;
  return listen.call(this, { host: HOST, port }, callback);
};

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  // node passes its own normalised [options, callback] array here, people a port and a host or an options object
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  const host = typeof options === "object" ? options.host : typeof args[1] === "string" ? args[1] : HOST;
  if (!LOOPBACK.has(host ?? HOST) || options?.path) {
    process.nextTick(() => this.destroy(refused()));
    return this;
  }
  return connect.apply(this, args);
};

// Loopback names still go through: listening on an address looks it up too.
for (const name of Object.keys(dns).filter((key) => /^(lookup|resolve|reverse)/.test(key))) {
  const ask = dns[name];
  dns[name] = (...args) => (LOOPBACK.has(args[0]) ? ask(...args) : process.nextTick(args.at(-1), refused()));
}
for (const name of Object.keys(dns.promises).filter((key) => /^(lookup|resolve|reverse)/.test(key))) {
  const ask = dns.promises[name];
  dns.promises[name] = (...args) => (LOOPBACK.has(args[0]) ? ask(...args) : Promise.reject(refused()));
}
dgram.Socket.prototype.send = function () {
  throw refused();
};
for (const name of ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"]) {
  childProcess[name] = () => {
    throw refused();
  };
}
syncBuiltinESMExports();

function hostnameOf(url) {
  try {
    return new URL(url).hostname;
  } catch {
    return "";
  }
}

function isOurs({ host, origin }) {
  return LOOPBACK.has(hostnameOf(`http://${host}`)) && (origin === undefined || LOOPBACK.has(hostnameOf(origin)));
}

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response, ...rest) {
  if (event === "request") {
    if (!isOurs(request.headers)) {
      response.writeHead(403).end();
      return true;
    }
    const writeHead = response.writeHead;
    response.writeHead = function (...args) {
      response.setHeader("Content-Security-Policy", pagePolicy(request.socket.localPort));
      return writeHead.apply(this, args);
    };
  }
  return emit.call(this, event, request, response, ...rest);
};
