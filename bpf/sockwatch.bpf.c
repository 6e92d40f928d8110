/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The part that every rung of the hook ladder shares: maps, filter, who it is,
 * emit. It is concatenated after the generated kernel layouts and event.h,
 * because BCC rewrites map access in its main file only.
 */

#define inline inline __attribute__((always_inline))

#define AF_INET 2
#define AF_INET6 10
#define AF_PACKET 17
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_UDPLITE 136
#define PF_IO_WORKER 0x00000010	/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define MAX_PID_NS_LEVEL 32	/* include/linux/pid_namespace.h */

/* Reads FIELD of a kernel object; works on pointers of any origin, 0 on a fault. */
#define READ(pointer, field) ({							\
	__typeof__((pointer)->field) value_ = 0;				\
	bpf_probe_read_kernel(&value_, sizeof(value_), &(pointer)->field);	\
	value_;									\
})

/* Never loaded: what it returns tells the tracer which LLVM compiled the rest. */
int compiler_version(void *ctx)
{
	return __clang_major__ * 10000 + __clang_minor__ * 100 + __clang_patchlevel__;
}

BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_PERCPU_ARRAY(counters, struct counters, 1);

BPF_ARRAY(filter_parts, u32, 1);
BPF_LPM_TRIE(dst_prefixes, struct prefix, u32, FILTER_ENTRIES);
BPF_LPM_TRIE(src_prefixes, struct prefix, u32, FILTER_ENTRIES);
BPF_ARRAY(dports, u64, 1024);	/* a bit for each port */
BPF_ARRAY(sports, u64, 1024);
BPF_HASH(pids, u32, u32, FILTER_ENTRIES);
BPF_HASH(uids, u32, u32, FILTER_ENTRIES);
BPF_HASH(netnses, u32, u32, FILTER_ENTRIES);

#ifdef PID_NAMESPACE
BPF_ARRAY(tracers_pids, struct tracers_pids, 1);
#endif

/*
 * Where an event goes that the ring has no room for, or a reservation fails for another
 * reason. There are two maps: the tracer makes the other one active, waits until no program
 * can still be writing to the first, and empties that.
 */
BPF_HASH(overflow_0, struct flow, struct coalesced, OVERFLOW_ENTRIES);
BPF_HASH(overflow_1, struct flow, struct coalesced, OVERFLOW_ENTRIES);
BPF_ARRAY(active_overflow, u32, 1);

struct comm {
	char name[COMM_LEN];
};
BPF_HASH(comms, struct comm, u32, FILTER_ENTRIES);

static inline struct counters *this_cpu_counters(void)
{
	u32 zero = 0;

	return counters.lookup(&zero);
}

/* Two of these may interrupt each other on one CPU, hence the atomic. */
#define COUNT(field) ({								\
	struct counters *counters_ = this_cpu_counters();			\
	if (counters_)								\
		__sync_fetch_and_add(&counters_->field, 1);			\
})

static inline u32 active_filter_parts(void)
{
	u32 zero = 0;
	u32 *parts = filter_parts.lookup(&zero);

	return parts ? *parts : 0;
}

static inline void set_ipv4(u8 *addr, u32 ipv4)
{
	u32 *words = (u32 *)addr;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ipv4;
}

static inline bool is_ipv4(const u8 *addr)
{
	const u32 *words = (const u32 *)addr;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static inline bool same_addr(const u8 *a, const u8 *b)
{
	const u64 *left = (const u64 *)a, *right = (const u64 *)b;

	return left[0] == right[0] && left[1] == right[1];
}

static inline bool no_addr(const u8 *addr)
{
	const u64 *halves = (const u64 *)addr;

	return halves[0] == 0 && halves[1] == 0;
}

static inline void set_prefix(struct prefix *key, const u8 *addr)
{
	key->length = 128;
	__builtin_memcpy(key->addr, addr, sizeof(key->addr));
}

/*
 * An entry's value is the verdict for what lies below it, includes and excludes
 * taken together by tracer/filter/maps.py; no entry means no.
 */
static inline bool dst_passes(const struct flow *flow)
{
	struct prefix key;

	if (no_addr(flow->daddr))
		return false;
	set_prefix(&key, flow->daddr);
	u32 *verdict = dst_prefixes.lookup(&key);
	return verdict && *verdict;
}

static inline bool src_passes(const struct flow *flow)
{
	struct prefix key;

	if (no_addr(flow->saddr))
		return false;
	set_prefix(&key, flow->saddr);
	u32 *verdict = src_prefixes.lookup(&key);
	return verdict && *verdict;
}

static inline bool dport_passes(u16 port)
{
	u32 word = port >> 6;
	u64 *bits = dports.lookup(&word);

	return bits && (*bits >> (port & 63) & 1);
}

static inline bool sport_passes(u16 port)
{
	u32 word = port >> 6;
	u64 *bits = sports.lookup(&word);

	return bits && (*bits >> (port & 63) & 1);
}

static inline bool comm_passes(const struct flow *flow)
{
	struct comm key;

	__builtin_memcpy(key.name, flow->comm, sizeof(key.name));
	return comms.lookup(&key) != 0;
}

/* The part of the filter that needs no more than the packet's headers. */
static inline bool addresses_pass(u32 parts, const struct flow *flow)
{
	if (!parts)
		return true;
	if (parts & FILTER_DST && !dst_passes(flow))
		return false;
	if (parts & FILTER_DPORT && !dport_passes(flow->dport))
		return false;
	if (parts & FILTER_SRC && !src_passes(flow))
		return false;
	if (parts & FILTER_SPORT && !sport_passes(flow->sport))
		return false;
	if (parts & (is_ipv4(flow->daddr) ? FILTER_NO_IPV4 : FILTER_NO_IPV6))
		return false;
	return !(parts & (flow->proto == IPPROTO_TCP ? FILTER_NO_TCP : FILTER_NO_UDP));
}

static inline bool process_passes(u32 parts, const struct flow *flow)
{
	if (!parts)
		return true;
	if (parts & FILTER_PID && !pids.lookup((u32 *)&flow->pid))
		return false;
	if (parts & FILTER_UID && !(flow->pid && uids.lookup((u32 *)&flow->uid)))
		return false;
	if (parts & FILTER_NETNS && !netnses.lookup((u32 *)&flow->netns))
		return false;
	return !(parts & FILTER_COMM) || (flow->pid && comm_passes(flow));
}

static inline u32 loginuid_of(struct task_struct *task)
{
#ifdef HAVE_TASK_STRUCT_LOGINUID
	return READ(task, loginuid);
#else
	return NO_LOGINUID;	/* a kernel without CONFIG_AUDIT */
#endif
}

#ifdef PID_NAMESPACE
static inline struct upid pid_at(struct task_struct *task, u32 level)
{
	struct pid *pid = READ(task, thread_pid);
	struct upid number = {};

	if (level <= READ(pid, level))
		bpf_probe_read_kernel(&number, sizeof(number), &pid->numbers[level & 63]);
	return number;
}

/* Run by the tracer itself before anything is attached: how deep its namespace is. */
int tracers_level(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u32 zero = 0;
	struct tracers_pids *tracers = tracers_pids.lookup(&zero);

	if (!tracers)
		return 0;
#pragma clang loop unroll(disable)
	for (u32 level = 1; level <= MAX_PID_NS_LEVEL; level++) {
		struct upid number = pid_at(task, level);

		if (READ(number.ns, inum) == tracers->inode)
			return level;
	}
	return 0;
}

/*
 * A task's pid in the tracer's pid namespace. A struct pid has one number for each level, from
 * the initial namespace down to the task's own (alloc_pid(), kernel/pid.c).
 */
static inline u32 tracers_pid(struct task_struct *task, u32 initial_pid)
{
	u32 zero = 0;
	struct tracers_pids *tracers = tracers_pids.lookup(&zero);

	if (!tracers)
		return 0;
	struct upid number = pid_at(task, tracers->level);
	if (READ(number.ns, inum) != tracers->inode)
		return PID_ELSEWHERE | initial_pid;
	return number.nr;
}
#else
static inline u32 tracers_pid(struct task_struct *task, u32 initial_pid)
{
	return initial_pid;
}
#endif

/* The current task as the sender; leaves the process unknown for a kernel thread. */
static inline void fill_process(struct flow *flow)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct *leader = READ(task, group_leader);
	struct task_struct *parent = READ(READ(leader, real_parent), group_leader);
	u64 pid_tgid = bpf_get_current_pid_tgid();

	if (READ(task, flags) & PF_KTHREAD) {
		flow->via = VIA_KERNEL;
		return;
	}
	flow->initial_pid = pid_tgid >> 32;
	flow->pid = tracers_pid(leader, pid_tgid >> 32);
	flow->tid = tracers_pid(task, pid_tgid);
	flow->ppid = tracers_pid(parent, READ(parent, tgid));
	flow->uid = bpf_get_current_uid_gid();
	flow->start_time = READ(leader, start_boottime);
	flow->exec_id = READ(task, self_exec_id);
	flow->loginuid = loginuid_of(task);
	flow->cgroup = bpf_get_current_cgroup_id();
	flow->process_netns = READ(READ(READ(task, nsproxy), net_ns), inum);
	/* An older kernel leaves the end of an earlier name behind the NUL (5.10 does). */
	bpf_probe_read_kernel_str(flow->comm, sizeof(flow->comm), &leader->comm);
	bpf_get_current_comm(flow->thread, sizeof(flow->thread));
}

static inline u32 netns_of_sock(struct sock *sk)
{
	struct net *net = READ(sk, net);

	return READ(net, inum);
}

/* The cookie if the socket has one already. */
static inline u64 known_cookie(struct sock *sk)
{
	return READ(sk, skc_cookie);
}

/* The cookie, made now if need be; where the kernel cannot, the known one. The verifier
 * must know sk's type. */
static inline u64 cookie_of(struct sock *sk)
{
#ifdef HAVE_SOCKET_COOKIE
	return bpf_get_socket_cookie(sk);
#else
	return known_cookie(sk);
#endif
}

/* The local and, if it is connected, the remote end of a socket. */
static inline void set_ends_of_sock(struct flow *flow, struct sock *sk)
{
	if (READ(sk, skc_family) == AF_INET) {
		set_ipv4(flow->saddr, READ(sk, skc_rcv_saddr));
		set_ipv4(flow->daddr, READ(sk, skc_daddr));
	} else {
		bpf_probe_read_kernel(flow->saddr, 16, &sk->skc_v6_rcv_saddr);
		bpf_probe_read_kernel(flow->daddr, 16, &sk->skc_v6_daddr);
	}
	flow->sport = READ(sk, skc_num);
	flow->dport = bpf_ntohs(READ(sk, skc_dport));
}

static inline void add_to(struct coalesced *sum, struct event *event)
{
	__sync_fetch_and_add(&sum->events, 1);
	__sync_fetch_and_add(&sum->bytes, event->bytes);
	__sync_fetch_and_add(&sum->received, event->received);
	sum->elapsed = event->elapsed;
	if (event->time < sum->first)	/* another CPU's */
		sum->first = event->time;
	if (event->time > sum->last)
		sum->last = event->time;
	sum->segments = event->segments;
	sum->error = event->error;
}

/* The entry of the event's flow, made if there is none; BCC wants the map's own name in each.
 * The second look is for an entry that another CPU has made meanwhile. */
static inline struct coalesced *sum_in_0(struct flow *flow, u64 time)
{
	struct coalesced none = { .first = time };
	struct coalesced *sum = overflow_0.lookup(flow);

	if (sum)
		return sum;
	overflow_0.insert(flow, &none);
	return overflow_0.lookup(flow);
}

static inline struct coalesced *sum_in_1(struct flow *flow, u64 time)
{
	struct coalesced none = { .first = time };
	struct coalesced *sum = overflow_1.lookup(flow);

	if (sum)
		return sum;
	overflow_1.insert(flow, &none);
	return overflow_1.lookup(flow);
}

static inline void coalesce(struct event *event)
{
	u32 zero = 0;
	u32 *active = active_overflow.lookup(&zero);
	bool second = active && *active;
	struct coalesced *sum = second ? sum_in_1(&event->flow, event->time)
				       : sum_in_0(&event->flow, event->time);

	if (!sum) {
		COUNT(lost);
		return;
	}
	add_to(sum, event);
	COUNT(coalesced);
}

static inline void emit(u32 parts, struct event *event)
{
	if (parts & FILTER_FAILED && event->error <= 0 &&
	    event->flow.kind != EVENT_CONNECT_FAILED)
		return;
	COUNT(matched);
	if (!event->time)
		event->time = bpf_ktime_get_boot_ns();
	if (parts & FILTER_SUMMARY || events.ringbuf_output(event, sizeof(*event), BPF_RB_NO_WAKEUP))
		coalesce(event);
}
