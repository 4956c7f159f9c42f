# SPDX-License-Identifier: MIT
"""Model servers as they behave, each with its own habits: what it says while it loads, where it
queues, how it streams, what its refusals look like.

They compute nothing: an answer is a few words with pauses between. A test turns their attributes
(state, key, busy …) while the daemon watches, and reads `seen`, the list of all requests.
"""

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.parse

from harness import free_port

WORDS = ["Ready", " to", " serve", "."]


class Gone(Exception):
    """The client closed the connection."""


class Exchange:
    """One connection with its one request."""

    def __init__(self, sock):
        self.sock = sock
        self.is_chunked = False

    def read(self):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        top, _, body = data.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value
                   in (line.partition(":") for line in lines[1:])}
        while len(body) < int(headers.get("content-length", 0)):
            body += self._more()
        path, _, query = target.partition("?")
        return types.SimpleNamespace(method=method, path=path, headers=headers, body=body,
                                     query=dict(urllib.parse.parse_qsl(query)),
                                     at=time.monotonic())

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        return data

    # -- answering --

    def answer(self, body=b"", status=200, kind="application/json", version="1.1", **headers):
        """A whole answer with its length."""
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        self._head(status, kind, version, {"Content-Length": len(body), **headers})
        self.sock.sendall(body)

    def begin(self, kind, version="1.1", status=200):
        """The head of an answer that comes in pieces: chunked, or in HTTP/1.0 until close."""
        self.is_chunked = version == "1.1"
        self._head(status, kind, version,
                   {"Transfer-Encoding": "chunked"} if self.is_chunked else {})

    def _head(self, status, kind, version, headers):
        lines = [f"HTTP/{version} {status} Some words", "Server: model"]
        lines += [f"Content-Type: {kind}"] if kind else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def piece(self, data):
        data = data.encode() if isinstance(data, str) else data
        self.sock.sendall(b"%x\r\n%s\r\n" % (len(data), data) if self.is_chunked else data)

    def event(self, value, gap=" "):
        self.piece(f"data:{gap}{value if isinstance(value, str) else json.dumps(value)}\n\n")

    def line(self, value):
        self.piece(json.dumps(value) + "\n")

    def finish(self):
        if self.is_chunked:
            self.sock.sendall(b"0\r\n\r\n")

    def wait(self, seconds):
        """Passes time, but not beyond the client."""
        if select.select([self.sock], [], [], seconds)[0] and not self.sock.recv(1):
            raise Gone


class ModelServer:
    """Listens; one thread a connection, of which `http_threads` are served at a time.

    state: "ready", "loading" (what that is, each server says in loading()), "frozen" (accepts and
    answers nothing)."""

    http_threads = 64

    def __init__(self, **settings):
        self.state = "ready"
        self.models = ["demo"]
        self.key = None
        self.words = list(WORDS)
        self.pause = 0.01
        self.running = 0     # requests in slots
        self.waiting = 0     # requests that wait for one
        self.slots = 1
        self.generated = 1000  # tokens so far, for all
        self.prompted = 5000
        self.inferences = 0  # begun
        self.seen = []
        for name, value in settings.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        self._slot = threading.Condition()
        self._threads = threading.Semaphore(self.http_threads)
        self._stop = threading.Event()
        self._sock = None
        self.port = free_port()
        self.listen()

    # -- life --

    def listen(self):
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind(("127.0.0.1", self.port))
        self._sock.listen(64)
        threading.Thread(target=self._accept, args=(self._sock,), daemon=True).start()

    def refuse(self):
        """Stops to listen; the port is kept for listen()."""
        sock, self._sock = self._sock, None
        if sock:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def close(self):
        self._stop.set()
        self.refuse()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _accept(self, sock):
        while True:
            try:
                client, _ = sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError, Gone), self._threads:
            sock.settimeout(30)
            exchange = Exchange(sock)
            request = exchange.read()
            self.seen.append(request)
            if self.state == "frozen":
                self._hold(exchange)
            self.handle(exchange, request)

    def _hold(self, exchange):
        while not self._stop.is_set():
            exchange.wait(0.05)
        raise Gone

    # -- slots --

    def occupy(self, n=1):
        """Other clients that take n slots and keep them until release()."""
        with self._slot:
            self.running += n

    def release(self, n=1):
        with self._slot:
            self.running -= n
            self._slot.notify_all()

    @contextlib.contextmanager
    def slot(self, exchange, while_waiting=lambda: None):
        """Waits in the queue; like the real ones, it is blind to a client that leaves it."""
        with self._slot:
            self.waiting += 1
            while self.running >= self.slots and not self._stop.is_set():
                self._slot.wait(0.05)
                while_waiting()
            self.waiting -= 1
            self.running += 1
        self.inferences += 1
        try:
            yield
        finally:
            self.release()

    # -- what they all do --

    def handle(self, exchange, request):
        raise NotImplementedError

    def count(self, path):
        return sum(1 for request in self.seen if request.path == path)

    def body_of(self, request):
        try:
            value = json.loads(request.body)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


def openai_error(message, kind, code):
    return {"error": {"message": message, "type": kind, "code": code}}


# ---- llama.cpp ----


class LlamaServer(ModelServer):
    """build: "2025" or "2026", or "fork" (of early 2025, with the slots in /health)."""

    def __init__(self, **settings):
        self.build = "2026"
        self.has_metrics = True
        self.has_slots = True
        self.embedding = False
        self.stream_fault = None  # field, data, raw, empty
        self.finish_word = "length"
        self.ping_seconds = 0  # comment pings while a request waits
        self.context = 4096
        self.answers_as = None  # None: any name is echoed
        self.stuck = False      # slots are taken, no token comes
        super().__init__(**settings)

    def handle(self, exchange, request):
        path = request.path.removeprefix("/v1") or "/"
        public = {"/health"} | ({"/models"} if self.build != "2026" else set())
        if self.state == "loading" and self._is_loading(exchange, path):
            return
        if self.key and path not in public and not self._knows(request):
            exchange.answer(openai_error("Invalid API Key", "authentication_error", 401), 401)
            return
        routes = {
            "/health": self.health, "/models": self.list_models, "/props": self.props,
            "/slots": self.show_slots, "/metrics": self.metrics,
            "/completion": self.completion, "/completions": self.completion_oai,
            "/chat/completions": self.chat, "/embeddings": self.embed,
        }
        route = routes.get(path)
        if not route:
            exchange.answer(openai_error("File Not Found", "not_found_error", 404), 404)
            return
        route(exchange, request)

    def _is_loading(self, exchange, path):
        if self.build == "fork":
            self._hold(exchange)
        if self.build == "2025" and path == "/models":
            return False
        exchange.answer(openai_error("Loading model", "unavailable_error", 503), 503)
        return True

    def _knows(self, request):
        return (request.headers.get("authorization") == f"Bearer {self.key}"
                or request.headers.get("x-api-key") == self.key)

    # -- what it says of itself --

    def health(self, exchange, _):
        full = self.running >= self.slots
        if self.build == "fork":
            exchange.answer({"status": "no slot available" if full else "ok",
                             "slots_idle": self.slots - self.running})
        else:
            exchange.answer({"status": "ok"})

    def list_models(self, exchange, _):
        meta = {"vocab_type": 2, "n_ctx_train": self.context, "n_embd": 4096, "size": 4912898304}
        if self.state == "loading":
            meta = None
        exchange.answer({"object": "list", "data": [
            {"id": name, "object": "model", "owned_by": "llamacpp", "meta": meta}
            for name in self.models]})

    def props(self, exchange, _):
        exchange.answer({"default_generation_settings": {"n_ctx": self.context},
                         "total_slots": self.slots, "is_sleeping": False})

    def show_slots(self, exchange, request):
        if not self.has_slots:
            exchange.answer(openai_error("This server does not support slots endpoint.",
                                         "not_supported_error", 501), 501)
        elif "fail_on_no_slot" in request.query and self.running >= self.slots:
            exchange.answer(openai_error("no slot available", "unavailable_error", 503), 503)
        else:
            exchange.answer([{"id": number, "is_processing": number < self.running}
                             for number in range(self.slots)])

    def metrics(self, exchange, _):
        if not self.has_metrics:
            exchange.answer(openai_error("This server does not support metrics endpoint. Start it "
                                         "with `--metrics`", "not_supported_error", 501), 501)
            return
        if self.running and not self.stuck:
            self.generated += 7
        rows = {"requests_processing": ("gauge", min(self.running, self.slots)),
                "requests_deferred": ("gauge", self.waiting),
                "tokens_predicted_total": ("counter", self.generated),
                "prompt_tokens_total": ("counter", self.prompted),
                "predicted_tokens_seconds": ("gauge", 48.2)}
        text = "".join(f"# HELP llamacpp:{name} Some help.\n# TYPE llamacpp:{name} {kind}\n"
                       f"llamacpp:{name} {value}\n" for name, (kind, value) in rows.items())
        exchange.answer(text, kind="text/plain; version=0.0.4")

    # -- inference --

    def _asked(self, exchange, request):
        """The parsed body; malformed JSON is an error of the server's own, it thinks."""
        body = self.body_of(request)
        if body is None:
            exchange.answer(openai_error("[json.exception.parse_error.101] parse error",
                                         "server_error", 500), 500)
        elif self.embedding and request.path not in ("/v1/embeddings", "/embeddings"):
            exchange.answer(openai_error("This server does not support completions. Start it "
                                         "without `--embeddings`", "not_supported_error", 501), 501)
            return None
        return body

    def _words(self, limit):
        return self.words[:limit] if limit is None or limit >= 0 else self.words

    def _stream(self, exchange, limit, event, last):
        """The older build sends its head before a slot is free, the newer then pings as well."""
        words = self._words(limit)
        exchange.begin("text/event-stream")
        next_ping = time.monotonic() + self.ping_seconds

        def ping():
            nonlocal next_ping
            if self.ping_seconds and time.monotonic() >= next_ping:
                next_ping += self.ping_seconds
                with contextlib.suppress(OSError):
                    exchange.piece(":\n\n")
        with self.slot(exchange, ping):
            while self.stuck:
                exchange.wait(0.05)
                ping()
            for number, word in enumerate(words):
                if number == 2 and self.stream_fault:
                    self._break(exchange)
                    return
                exchange.piece(event(number, word))
                exchange.wait(self.pause)
            self.generated += len(words)
            self.prompted += 12
            exchange.piece(last(len(words)))
            exchange.finish()

    def _break(self, exchange):
        """All of these have been seen behind a status 200."""
        error = json.dumps(openai_error("Context size has been exceeded.", "server_error", 500))
        if self.stream_fault == "field":
            exchange.piece(f"error: {error[10:-1]}\n\n")
            exchange.piece("data: [DONE]\n\n")
        elif self.stream_fault == "data":
            exchange.piece(f"data: {error}\n\n")
        elif self.stream_fault == "raw":
            exchange.piece("Slot failed to decode the batch")
        elif self.stream_fault == "cut":
            exchange.sock.shutdown(socket.SHUT_RDWR)
            return
        exchange.finish()

    def completion(self, exchange, request):
        body = self._asked(exchange, request)
        if body is None:
            return
        limit = body.get("n_predict", -1)

        def event(number, word):
            return f"data: {json.dumps({'index': 0, 'content': word, 'stop': False})}\n\n"

        def last(n):
            return "data: " + json.dumps({
                "index": 0, "content": "", "stop": True, "stop_type": "limit",
                "tokens_predicted": n, "tokens_evaluated": 12,
                "model": self.models[0]}) + "\n\n"
        if body.get("stream"):
            self._stream(exchange, limit, event, last)
            return
        with self.slot(exchange):
            exchange.answer(json.loads(last(len(self._words(limit)))[6:])
                            | {"content": "".join(self._words(limit))})

    def _limit(self, body):
        """max_tokens, and the 0 that is 1."""
        wanted = body.get("max_tokens")
        return None if wanted is None else max(wanted, 1)

    def chat(self, exchange, request):
        body = self._asked(exchange, request)
        if body is None:
            return
        model = self.answers_as or body.get("model", "gpt-3.5-turbo")
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        usage = {"prompt_tokens": 12, "total_tokens": 12 + len(self.words),
                 "completion_tokens": len(self.words)}

        def chunk(delta, finish=None, **more):
            return "data: " + json.dumps({
                "object": "chat.completion.chunk", "model": model,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}) + "\n\n"

        def event(number, word):
            if self.build == "2026":
                first = chunk({"role": "assistant", "content": None}) if number == 0 else ""
                return first + chunk({"content": word})
            return chunk({"role": "assistant", "content": word} if self.build == "fork"
                         else {"content": word})

        def last(_):
            if self.build != "2026":
                return chunk({}, self.finish_word, usage=usage) + "data: [DONE]\n\n"
            tail = "data: " + json.dumps({"model": model, "choices": [], "usage": usage}) + "\n\n"
            return (chunk({}, self.finish_word, timings={"predicted_n": len(self.words)})
                    + (tail if wants_usage else "") + "data: [DONE]\n\n")
        self._stream(exchange, self._limit(body), event, last)

    def completion_oai(self, exchange, request):
        body = self._asked(exchange, request)
        if body is None:
            return

        def event(_, word, finish=None):
            return "data: " + json.dumps({"model": self.models[0], "choices": [
                {"index": 0, "text": word, "finish_reason": finish}]}) + "\n\n"

        def last(_):
            return event(0, "", self.finish_word) + "data: [DONE]\n\n"
        self._stream(exchange, self._limit(body), event, last)

    def embed(self, exchange, request):
        body = self.body_of(request)
        if body is None:
            exchange.answer(openai_error("parse error", "server_error", 500), 500)
        elif not self.embedding:
            exchange.answer(openai_error("This server does not support embeddings. Start it with "
                                         "`--embeddings`", "not_supported_error", 501), 501)
        else:
            with self.slot(exchange):
                exchange.answer({"object": "list", "model": body.get("model"),
                                 "data": [{"index": 0, "embedding": [0.1, -0.2, 0.3, 0.05]}],
                                 "usage": {"prompt_tokens": 7, "total_tokens": 7}})


class LlamaRouter(LlamaServer):
    """llama-server over several models; counts what is loaded and how it came to be."""

    def __init__(self, **settings):
        self.loaded = []
        self.loads = 0
        super().__init__(**settings)

    def handle(self, exchange, request):
        model = request.query.get("model")
        body = self.body_of(request) if request.method == "POST" else None
        if body is not None:
            model = body.get("model")
        if request.path in ("/models", "/v1/models"):
            exchange.answer({"object": "list", "data": [
                {"id": name, "status": {"value": "loaded" if name in self.loaded else "unloaded"}}
                for name in self.models]})
            return
        if request.path != "/health" and model is None:
            exchange.answer(openai_error("model name is missing from the request",
                                         "invalid_request_error", 400), 400)
            return
        if model is not None and model not in self.models:
            exchange.answer(openai_error(f"model '{model}' not found",
                                         "invalid_request_error", 400), 400)
            return
        if model is not None and request.query.get("autoload") != "false":
            self.loads += model not in self.loaded
            self.loaded = [model]
        super().handle(exchange, request)


# ---- Ollama ----


class Ollama(ModelServer):
    """models are installed, loaded ones are in memory; any inference loads, and is counted."""

    def __init__(self, **settings):
        self.loaded = []
        self.loads = 0
        self.load_seconds = 0.2
        self.full = False
        self.breaks = False  # an error line in the middle of the stream
        super().__init__(**settings)

    def handle(self, exchange, request):
        routes = {
            "/": lambda *_: exchange.answer("Ollama is running", kind="text/plain"),
            "/api/version": lambda *_: exchange.answer({"version": "0.23.0"}),
            "/api/tags": self.tags, "/api/ps": self.ps,
            "/v1/models": self.list_models,
            "/api/generate": self.generate, "/api/embed": self.embed,
            "/v1/chat/completions": self.chat,
        }
        route = routes.get(request.path)
        if not route:
            exchange.answer("404 page not found", 404, kind="text/plain")
            return
        route(exchange, request)

    def _entry(self, name):
        return {"name": name, "model": name, "size": 1321098329, "digest": f"baf6{len(name):02}"}

    def tags(self, exchange, _):
        exchange.answer({"models": [self._entry(name) for name in self.models]})

    def ps(self, exchange, _):
        exchange.answer({"models": [{**self._entry(name), "size_vram": 1321098329,
                                     "context_length": 4096} for name in self.loaded]})

    def list_models(self, exchange, _):
        exchange.answer({"object": "list", "data": [
            {"id": name, "object": "model", "owned_by": "library"} for name in self.models]})

    def _load(self, exchange, request):
        """The model asked for, in memory; None when the request was refused."""
        body = self.body_of(request)
        name = body.get("model") if body else None
        if name and ":" not in name:
            name += ":latest"
        if name not in self.models:
            exchange.answer({"error": f"model '{body.get('model')}' not found"}, 404)
            return None, None
        if self.full:
            exchange.answer({"error": "server busy, please try again.  maximum pending requests "
                                      "exceeded"}, 503)
            return None, None
        if name not in self.loaded:
            self.loads += 1
            exchange.wait(self.load_seconds)
            self.loaded.append(name)
        self.inferences += 1
        return body, name

    def generate(self, exchange, request):
        body, name = self._load(exchange, request)
        if body is None:
            return
        words = self.words[:(body.get("options") or {}).get("num_predict", 128)]
        exchange.begin("application/x-ndjson")
        for number, word in enumerate(words):
            if self.breaks and number == 2:
                exchange.line({"error": "an error was encountered while running the model: EOF"})
                exchange.finish()
                return
            exchange.line({"model": body["model"], "response": word, "done": False})
            exchange.wait(self.pause)
        exchange.line({"model": body["model"], "response": "", "done": True,
                       "done_reason": "stop", "load_duration": 6338219,
                       "prompt_eval_count": 26, "eval_count": len(words)})
        exchange.finish()

    def chat(self, exchange, request):
        body, name = self._load(exchange, request)
        if body is None:
            return
        exchange.begin("text/event-stream")
        for word in self.words:
            exchange.event({"model": body["model"], "choices": [
                {"index": 0, "delta": {"role": "assistant", "content": word},
                 "finish_reason": None}]})
        exchange.event({"model": body["model"], "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]})
        exchange.event("[DONE]")
        exchange.finish()

    def embed(self, exchange, request):
        body, name = self._load(exchange, request)
        if body is not None:
            exchange.answer({"model": body["model"], "embeddings": [[0.1, 0.2, -0.3]],
                             "prompt_eval_count": 3})


# ---- KoboldCpp ----


class KoboldCpp(ModelServer):
    """HTTP/1.0 until close, no blank line after [DONE], invented usage, no health, no metrics."""

    def handle(self, exchange, request):
        if request.path == "/v1/models":
            exchange.answer({"object": "list", "data": [
                {"id": f"koboldcpp/{name}", "object": "model", "owned_by": "koboldcpp"}
                for name in self.models]}, version="1.0")
        elif request.path == "/v1/chat/completions":
            self.chat(exchange)
        else:
            exchange.answer("Error: HTTP Server is running, but this endpoint does not exist. "
                            "Please check the URL.", 404, kind="text/html", version="1.0")

    def chat(self, exchange):
        self.inferences += 1
        exchange.begin("text/event-stream", version="1.0")
        for word in self.words:
            exchange.piece("event: message\n")
            exchange.event({"model": f"koboldcpp/{self.models[0]}", "choices": [
                {"index": 0, "finish_reason": None,
                 "delta": {"role": "assistant", "content": word}}]})
        exchange.event({"model": f"koboldcpp/{self.models[0]}", "choices": [
            {"index": 0, "finish_reason": "length", "delta": {"role": "assistant", "content": ""}}],
            "usage": {"prompt_tokens": 0, "completion_tokens": 100, "total_tokens": 100}})
        exchange.piece("data: [DONE]")


# ---- vLLM, SGLang, TGI, TEI ----


class Vllm(ModelServer):
    """Listens when it has loaded. Errors are strings or objects by the hour."""

    def __init__(self, **settings):
        self.is_dead = False  # the engine is, the front end is not yet
        self.wants_name = True
        self.stuck = False
        super().__init__(**settings)

    def handle(self, exchange, request):
        if request.path.startswith("/v1") and self.key and \
                request.headers.get("authorization") != f"Bearer {self.key}":
            exchange.answer({"error": "Unauthorized"}, 401)
        elif request.path == "/health":
            exchange.answer(b"", 503 if self.is_dead else 200, kind=None)
        elif request.path == "/v1/models":
            exchange.answer({"object": "list", "data": [
                {"id": name, "object": "model", "owned_by": "vllm", "root": name, "parent": None,
                 "max_model_len": 8192} for name in self.models]})
        elif request.path == "/metrics":
            self.metrics(exchange)
        elif request.path == "/v1/chat/completions":
            self.chat(exchange, request)
        elif request.path == "/v1/embeddings":
            exchange.answer({"object": "list", "model": self.models[0], "data": [
                {"index": 0, "embedding": [0.5, 0.5]}], "usage": {"prompt_tokens": 4}})
        else:
            exchange.answer({"detail": "Not Found"}, 404)

    def metrics(self, exchange):
        if self.running and not self.stuck:
            self.generated += 11
        labels = '{engine="0",model_name="demo, the \\"first\\""}'
        exchange.answer(
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{labels} {min(self.running, self.slots):.1f}\n"
            f"vllm:num_requests_waiting{labels} {self.waiting:.1f}\n"
            f"vllm:kv_cache_usage_perc{labels} 0.25\n"
            f"vllm:prompt_tokens_total{labels} {self.prompted:.1f}\n"
            f"vllm:generation_tokens_total{labels} {self.generated:.1f}\n",
            kind="text/plain; version=1.0.0; charset=utf-8")

    def chat(self, exchange, request):
        body = self.body_of(request)
        if body.get("model") not in self.models:
            exchange.answer({"error": {
                "message": f"The model `{body.get('model')}` does not exist.", "param": "model",
                "type": "NotFoundError", "code": 404}}, 404)
            return
        if self.is_dead:
            exchange.answer({"error": {"message": "EngineCore encountered an issue.",
                                       "type": "InternalServerError", "code": 500}}, 500)
            return
        with self.slot(exchange):
            while self.stuck:
                exchange.wait(0.05)
            exchange.begin("text/event-stream; charset=utf-8")
            part = {"model": body["model"], "object": "chat.completion.chunk"}
            exchange.event({**part, "choices": [
                {"index": 0, "delta": {"role": "assistant", "content": ""},
                 "finish_reason": None}]})
            for word in self.words:
                exchange.event({**part, "choices": [
                    {"index": 0, "delta": {"content": word}, "finish_reason": None}]})
                exchange.wait(self.pause)
            self.generated += len(self.words)
            exchange.event({**part, "choices": [
                {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]})
            if (body.get("stream_options") or {}).get("include_usage"):
                exchange.event({**part, "choices": [], "usage": {
                    "prompt_tokens": 20, "completion_tokens": len(self.words)}})
            exchange.event("[DONE]")
            exchange.finish()


class Sglang(ModelServer):
    """Its health page is an inference; a full queue is an error frame behind a status 200."""

    def __init__(self, **settings):
        self.has_metrics = True
        self.full = False
        super().__init__(**settings)

    def handle(self, exchange, request):
        is_open = request.path.startswith("/health")
        if self.key and not is_open and \
                request.headers.get("authorization") != f"Bearer {self.key}":
            exchange.answer({"error": "Unauthorized"}, 401)
        elif is_open:
            exchange.answer(b"", 503 if self.state == "loading" else 200, kind=None)
        elif request.path in ("/model_info", "/get_model_info"):
            exchange.answer({"model_path": f"org/{self.models[0]}", "is_generation": True})
        elif request.path == "/v1/models":
            exchange.answer({"object": "list", "data": [
                {"id": name, "root": name, "max_model_len": 4096} for name in self.models]})
        elif request.path == "/metrics" and self.has_metrics:
            exchange.answer(f'sglang:num_running_reqs{{model_name="demo"}} {self.running}\n'
                            f'sglang:num_queue_reqs{{model_name="demo"}} {self.waiting}\n'
                            'sglang:token_usage{model_name="demo"} 0.1\n'
                            f'sglang:generation_tokens_total{{model_name="demo"}} '
                            f'{self.generated}\n', kind="text/plain")
        elif request.path == "/generate":
            self.generate(exchange)
        elif request.path == "/v1/chat/completions":
            self.chat(exchange)
        else:
            exchange.answer({"detail": "Not Found"}, 404)

    def generate(self, exchange):
        self.inferences += 1
        exchange.begin("text/event-stream")
        if self.full:
            exchange.event({"error": {"message": "The request queue is full."}})
        else:
            text = ""
            for number, word in enumerate(self.words):
                text += word  # the whole so far, each time
                finish = {"type": "length", "length": 4} if number + 1 == len(self.words) else None
                exchange.event({"text": text, "meta_info": {
                    "prompt_tokens": 9, "completion_tokens": number + 1,
                    "finish_reason": finish}})
        exchange.event("[DONE]")
        exchange.finish()

    def chat(self, exchange):
        self.inferences += 1
        exchange.begin("text/event-stream")
        if self.full:
            exchange.event({"error": {"object": "error", "message": "The request queue is full.",
                                      "type": "SERVICE_UNAVAILABLE", "code": 503}})
            exchange.event("[DONE]")
            exchange.finish()
            return
        for word in self.words:
            exchange.event({"model": "demo", "choices": [
                {"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        exchange.event({"model": "demo", "choices": [
            {"index": 0, "delta": {}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
        exchange.event("[DONE]")
        exchange.finish()


class Tgi(ModelServer):
    """No blank after `data:`, comments between, the end of the connection is the end."""

    def __init__(self, **settings):
        self.is_sick = False
        self.full = False
        super().__init__(**settings)

    def handle(self, exchange, request):
        if request.path in ("/health", "/ping"):
            if self.is_sick:
                exchange.answer({"error": "unhealthy", "error_type": "healthcheck"}, 503)
            else:
                exchange.answer(b"", kind=None)
        elif request.path == "/info":
            exchange.answer({"model_id": self.models[0], "model_sha": "abc", "max_total_tokens":
                             2048, "max_input_tokens": 1024, "version": "3.3.6"})
        elif request.path == "/v1/models":
            exchange.answer({"object": "list", "data": [
                {"id": self.models[0], "object": "model", "created": 0}]})
        elif request.path == "/metrics":
            exchange.answer(f"tgi_batch_current_size {self.running}\n"
                            f"tgi_queue_size {self.waiting}\n"
                            f"tgi_batch_inference_count 10\n", kind="text/plain")
        elif request.path == "/generate_stream":
            self.generate_stream(exchange, request)
        elif request.path == "/v1/chat/completions":
            exchange.answer({"error": "not in this one"}, 422)
        else:
            exchange.answer(b"", 404, kind=None)

    def generate_stream(self, exchange, request):
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            exchange.answer(b"", 401, kind=None)
            return
        if self.full:
            exchange.answer({"error": "Model is overloaded", "error_type": "overloaded"}, 429)
            return
        if self.is_sick:
            exchange.answer({"error": "Request failed during generation: Server error: CUDA",
                             "error_type": "generation"}, 424)
            return
        self.inferences += 1
        exchange.begin("text/event-stream")
        for number, word in enumerate(self.words):
            exchange.piece(":\n\n")
            is_last = number + 1 == len(self.words)
            exchange.event({
                "index": number + 1, "token": {"id": number, "text": word, "special": False},
                "generated_text": "".join(self.words) if is_last else None,
                "details": {"finish_reason": "length", "generated_tokens": number + 1,
                            "input_length": 8} if is_last else None}, gap="")
        exchange.finish()


class Tei(ModelServer):
    """Embeddings alone."""

    def __init__(self, **settings):
        self.is_sick = False
        self.full = False
        super().__init__(**settings)

    def handle(self, exchange, request):
        guarded = request.path not in ("/health", "/ping", "/", "/metrics")
        if guarded and self.key and \
                request.headers.get("authorization") != f"Bearer {self.key}":
            exchange.answer(b"", 401, kind=None)
        elif not guarded and request.path != "/metrics":
            if self.is_sick:
                exchange.answer({"error": "unhealthy", "error_type": "Unhealthy"}, 503)
            else:
                exchange.answer(b"", kind=None)
        elif request.path == "/metrics":
            exchange.answer(f"te_queue_size {self.waiting}\nte_request_success{{method=\"single\"}}"
                            f" {self.generated}\n", kind="text/plain")
        elif request.path == "/info":
            exchange.answer({"model_id": self.models[0], "model_sha": "abc", "model_dtype":
                             "float16", "max_input_length": 512, "model_type": {"embedding": {}}})
        elif request.path == "/embed":
            self.embed(exchange, [[0.01, 0.02, -0.03]])
        elif request.path == "/v1/embeddings":
            self.embed(exchange, {"object": "list", "model": self.models[0], "data": [
                {"index": 0, "embedding": [0.01, 0.02, -0.03]}], "usage": {"prompt_tokens": 5}})
        else:
            exchange.answer(b"", 404, kind=None)

    def embed(self, exchange, answer):
        self.inferences += 1
        if self.full:
            exchange.answer({"error": "Model is overloaded", "error_type": "Overloaded"}, 429)
        elif self.is_sick:
            exchange.answer({"error": "CUDA error", "error_type": "Backend"}, 424)
        else:
            exchange.answer(answer)


# ---- whisper and other small ones ----


class Whisper(ModelServer):
    """A transcriber: a page at /, no models, no metrics; it listens when it has loaded."""

    def handle(self, exchange, request):
        if self.state == "loading":
            exchange.answer({"error": "loading model"}, 503)
        elif request.path == "/health":
            exchange.answer({"status": "ok"})
        elif request.path == "/":
            exchange.answer("<html><title>Whisper.cpp Server</title></html>", kind="text/html")
        else:
            exchange.answer(f"File Not Found ({request.path})", 404, kind="text/plain")


# ---- as a process of its own ----


class Child:
    """A server in another process, which can be frozen; settings are JSON."""

    def __init__(self, kind, **settings):
        self.process = subprocess.Popen(
            [sys.executable, __file__, kind, json.dumps(settings)], stdout=subprocess.PIPE,
            text=True)
        self.url = self.process.stdout.readline().strip()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    print(globals()[sys.argv[1]](**json.loads(sys.argv[2])).url, flush=True)
    signal.pause()
