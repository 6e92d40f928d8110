/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Follows the descendants of the processes that were asked for (FILTER_FOLLOW): whoever is forked
 * by a process in the map is added, and removed at its end. The tracer adds those from before the
 * start. Until it has (FILTER_ADOPT), children are added before their parent ends, because they get
 * another parent then, so that at any moment each descendant or one of its ancestors is there.
 */

#define MAX_ANCESTORS 32
#define MAX_CHILDREN 64		/* of one thread that ends */

/* Is it in the map, or one of its ancestors? */
static inline bool is_descendant(struct task_struct *task)
{
	struct task_struct *leader = READ(task, group_leader);

#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_ANCESTORS; i++) {
		u32 pid = tracers_pid(leader, READ(leader, tgid));

		if (pids.lookup(&pid))
			return true;
		struct task_struct *above = READ(READ(leader, real_parent), group_leader);
		if (above == leader)
			return false;	/* the root of all */
		leader = above;
	}
	COUNT(unfollowed);
	return false;
}

/*
 * Adds a process, unless its last thread has ended. If that ends meanwhile, its own hook may have
 * come too early to remove the entry.
 */
static inline void follow(struct task_struct *task)
{
	struct signal_struct *signal = READ(task, signal);
	u32 pid = tracers_pid(READ(task, group_leader), READ(task, tgid)), present = 1;

	if (!READ(signal, live))
		return;
	if (pids.update(&pid, &present))
		COUNT(unfollowed);
	if (!READ(signal, live))
		pids.delete(&pid);
}

/* Adds the children of a thread that ends: forget_original_parent(), kernel/exit.c. */
static inline void adopt_children(struct task_struct *task)
{
	void *head = &task->children, *node = READ(task, children);

	if (node == head || !is_descendant(task))
		return;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_CHILDREN; i++) {
		struct task_struct *child = node - __builtin_offsetof(struct task_struct, sibling);

		follow(child);
		node = READ(child, sibling);
		if (node == head)
			return;
	}
	COUNT(unfollowed);
}
