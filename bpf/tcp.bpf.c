/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Follows TCP connections for every probe, by inet_sock_set_state. Later changes of
 * state happen in whatever context a packet arrives in. They belong to the process
 * that called connect(), which is kept with the socket from SYN_SENT on; the end, to the
 * process that closes the socket, if one is seen to.
 */

#define TCP_ESTABLISHED 1	/* include/net/tcp_states.h */
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define SEND_SHUTDOWN 2		/* include/net/sock.h */
#define SOCK_DONE 1		/* enum sock_flags: a FIN has come, which counts as a byte */

struct connection {
	u64 since;		/* time of the attempt, then of the establishment; 0: not known */
	u64 in_connect;		/* connect() has not returned yet */
	struct event event;	/* the one reported last; its kind is 0 if there was none yet */
};
BPF_F_TABLE("hash", u64, struct connection, connections, 65536, CONNECTIONS_FLAGS);

/* Connections from before the start that the tracer has listed, by cookie. */
BPF_F_TABLE("hash", u64, u32, listed, 65536, CONNECTIONS_FLAGS);

/* The threads that connect what does not match as they have named it: struct sock to thread. It may
 * match as NAT changes it: see syn.bpf.c. */
BPF_TABLE("lru_hash", u64, u64, connecting, 4096);

/* Each probe defines these three: tracepoint.bpf.c, or tcp_call.bpf.c for those that hook calls. */
/* A connection is attempted. */
static inline void attempt_begins(struct connection *connection, struct sock *sk);
/* A connection has come from elsewhere; is it to be followed? */
static inline bool arrival_begins(struct connection *connection, struct sock *sk);
/* Will the return of connect() tell why it failed? */
static inline bool call_will_tell(const struct connection *connection, int error);

/* Reports what a socket is at this moment as one event of its flow. */
static inline void report_connection(struct connection *connection, u8 kind, int error,
				     struct sock *sk)
{
	u32 parts = active_filter_parts();
	struct event *event = &connection->event;
	struct flow *flow = &event->flow;

	if (!flow->sport)
		flow->sport = READ(sk, skc_num);
	if (!flow->sport && kind == EVENT_CONNECT_FAILED)	/* already released */
		flow->sport = bpf_ntohs(READ((struct inet_sock *)sk, inet_sport));
	flow->kind = kind;
	event->time = bpf_ktime_get_boot_ns();
	event->error = error;
	event->segments = 1;
	if (kind == EVENT_CLOSE) {
		struct tcp_sock *tp = (struct tcp_sock *)sk;

		event->bytes = READ(tp, bytes_sent) - READ(tp, bytes_retrans);
		event->received = READ(tp, bytes_received) - (READ(sk, sk_flags) >> SOCK_DONE & 1);
	}
	if (kind != EVENT_CONNECT && kind != EVENT_ACCEPT && connection->since)
		event->elapsed = event->time - connection->since;
	if (kind != EVENT_ACCEPT)
		connection->since = event->time;
	if (!ports_pass(parts, flow))
		return;
	emit(parts, event);
}

/* Sets who makes a connection, the current process, and by what route; false if that does not
 * match. */
static inline bool fill_connector(struct flow *flow, struct sock *sk, u32 parts)
{
	flow->netns = netns_of_sock(sk);
	set_route_of_sock(flow, sk, 0);
	fill_process(flow);
	return process_passes(parts, flow);
}

/* Runs in the context of the process that calls connect(). */
static inline void connection_starts(struct sock *sk)
{
	struct connection connection = {};
	struct flow *flow = &connection.event.flow;
	u32 parts = active_filter_parts();
	u64 key = (u64)sk;

	connections.delete(&key);	/* left by an earlier use of this struct sock */
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_ends_of_sock(flow, sk);
	undo_rewriting_of_connection(flow, sk);
	if (!addresses_pass(without_sport(parts), flow)) {
		u64 thread = bpf_get_current_pid_tgid();

		connecting.update(&key, &thread);
		return;
	}
	if (!fill_connector(flow, sk, parts))
		return;
	flow->cookie = cookie_of(sk);
	connection.since = bpf_ktime_get_boot_ns();
	attempt_begins(&connection, sk);
	if (connections.update(&key, &connection))
		COUNT(lost);
}

/* A connection has come from elsewhere; no process has it until one calls accept(). */
static inline void connection_arrives(struct sock *sk)
{
	struct connection connection = {};
	struct flow *flow = &connection.event.flow;
	u32 parts = active_filter_parts();
	u64 key = (u64)sk;

	if (!(parts & FILTER_ACCEPT))
		return;
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_ends_of_sock(flow, sk);
	if (!addresses_pass(parts, flow))
		return;
	flow->netns = netns_of_sock(sk);
	set_route_of_sock(flow, sk, 0);
	flow->cookie = cookie_of(sk);
	connection.since = bpf_ktime_get_boot_ns();
	if (!arrival_begins(&connection, sk))
		return;
	if (connections.update(&key, &connection))
		COUNT(lost);
}

/* Returns a connection that the tracer has listed, and whose end is the first that is seen of it;
 * 0 if it is none. */
static inline struct connection *connection_from_before(struct sock *sk)
{
	struct connection connection = {};
	struct flow *flow = &connection.event.flow;
	u64 cookie = known_cookie(sk), key = (u64)sk;

	if (!listed.lookup(&cookie))
		return 0;
	listed.delete(&cookie);
	flow->kind = EVENT_CONNECTED;
	flow->proto = IPPROTO_TCP;
	flow->via = VIA_SOCKET;
	set_ends_of_sock(flow, sk);
	set_route_of_sock(flow, sk, 0);
	flow->netns = netns_of_sock(sk);
	flow->cookie = cookie;
	connections.update(&key, &connection);
	return connections.lookup(&key);
}

/* Reports the outcome of an attempt, and the attempt itself if the hook on it was passed over. */
static inline void connection_established(struct sock *sk, struct connection *connection)
{
	struct flow *flow = &connection->event.flow;
	u64 since = connection->since;

#pragma clang loop unroll(disable)
	for (u8 kind = flow->kind ? EVENT_CONNECTED : EVENT_CONNECT; kind <= EVENT_CONNECTED; kind++) {
		connection->since = since;
		report_connection(connection, kind,
				  kind == EVENT_CONNECT ? ERROR_NOT_OBSERVED : 0, sk);
	}
}

static inline bool was_established(const struct connection *connection)
{
	u8 kind = connection->event.flow.kind;

	return kind == EVENT_CONNECTED || kind == EVENT_ACCEPT;
}

/* Has it arrived, but no process was seen to accept it? */
static inline bool is_nobodys(const struct connection *connection)
{
	const struct flow *flow = &connection->event.flow;

	return !flow->kind && !flow->pid && flow->via != VIA_KERNEL;
}

/*
 * Does the current process end the connection, by close(), shutdown() or connect(AF_UNSPEC)? The
 * first two have set sk_shutdown. An end that comes from outside and is worked off in a system
 * call of the process (release_sock()) has set sk_err.
 */
static inline bool is_closing(void *ctx, struct sock *sk)
{
	if (!(READ(sk, sk_shutdown) & SEND_SHUTDOWN) && READ(sk, sk_err))
		return false;
	return in_task(ctx);
}

static inline void keep_opener(struct flow *flow)
{
	flow->opener_pid = flow->pid;
	flow->opener_start_time = flow->start_time;
}

/* The current process takes the connection's end on itself. */
static inline void close_by_current(struct connection *connection)
{
	struct flow *flow = &connection->event.flow;

	if (!flow->closed)
		keep_opener(flow);
	flow->closed = 1;
	fill_process(flow);
}

static inline void connection_ends(struct sock *sk, struct connection *connection)
{
	struct flow *flow = &connection->event.flow;
	int error = READ(sk, sk_err);
	u64 key = (u64)sk;

	if (is_nobodys(connection) && process_passes(active_filter_parts(), flow))
		report_connection(connection, EVENT_ACCEPT, 0, sk);
	if (was_established(connection)) {
		if (!flow->closed)
			keep_opener(flow);
		report_connection(connection, EVENT_CLOSE, error, sk);
	} else if (!is_nobodys(connection)) {
		if (call_will_tell(connection, error))
			return;
		report_connection(connection, EVENT_CONNECT_FAILED,
				  error ? error : ERROR_NOT_OBSERVED, sk);
	}
	connections.delete(&key);
}

int inet_sock_set_state(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	int from = ctx[1], to = ctx[2];
	u64 key = (u64)sk;
	bool ends = to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK || to == TCP_CLOSE;

	if (to != TCP_SYN_SENT && to != TCP_ESTABLISHED && !ends)
		return 0;
	if (READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (to == TCP_SYN_SENT || to == TCP_ESTABLISHED || to == TCP_CLOSE)
		COUNT(changes);
	if (to == TCP_SYN_SENT) {
		connection_starts(sk);
		return 0;
	}
	struct connection *connection = connections.lookup(&key);
	if (!connection && ends)
		connection = connection_from_before(sk);
	if (connection && ends && was_established(connection) && is_closing(ctx, sk))
		close_by_current(connection);
	if (connection && to == TCP_CLOSE)
		connection_ends(sk, connection);
	else if (connection && to == TCP_ESTABLISHED)
		connection_established(sk, connection);
	else if (!connection && from == TCP_SYN_RECV && to == TCP_ESTABLISHED)
		connection_arrives(sk);
	return 0;
}
