/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells `sockwatch prove` of a network namespace that it does not watch yet, as soon as a program
 * begins there or a device of it sends: it may end in a moment, unless it is opened before.
 */

struct watched_key {
	u64 cookie;
	u64 inode;
};
_Static_assert(sizeof(struct watched_key) == 16, "tracer/kernel/newcomers.py says 16");

struct newcomer {
	u32 pid;
	u32 netns;
};
_Static_assert(sizeof(struct newcomer) == 8, "tracer/kernel/newcomers.py says 8");

BPF_HASH(watched, struct watched_key, u32, WATCHED_ENTRIES);
BPF_RINGBUF_OUTPUT(newcomers, NEWCOMER_PAGES);

/* Tells of a namespace and a process that may be in it, unless it is watched. What is told may be
 * lost: then nothing is proven, if it sends. */
static inline void tell_of(struct net *net, struct task_struct *task)
{
	struct watched_key key = { .inode = READ(net, inum) };
	struct newcomer newcomer = {};

#ifdef HAVE_NET_NET_COOKIE
	key.cookie = READ(net, net_cookie);
#endif
	if (watched.lookup(&key))
		return;
	newcomer.pid = tracers_pid(READ(task, group_leader), READ(task, tgid));
	newcomer.netns = key.inode;
	newcomers.ringbuf_output(&newcomer, sizeof(newcomer), BPF_RB_FORCE_WAKEUP);
}

static inline struct net *net_of(struct task_struct *task)
{
	return READ(READ(task, nsproxy), net_ns);
}

int exec_in_netns(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];

	tell_of(net_of(task), task);
	return 0;
}
