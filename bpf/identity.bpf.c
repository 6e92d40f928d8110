/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Identifies the current task, with its pids in the tracer's pid namespace.
 */

/* The current task, and a field of it or of what it leads to. If the verifier knows the task's type,
 * that is a plain load, which costs much less than READ()'s call, and also yields 0 on a fault. */
#ifdef HAVE_TASK_PT_REGS
#define CURRENT_TASK() bpf_get_current_task_btf()
#define READ_TASK(pointer, field) ((pointer)->field)
#else
#define CURRENT_TASK() ((struct task_struct *)bpf_get_current_task())
#define READ_TASK(pointer, field) READ(pointer, field)
#endif

static inline u32 loginuid_of(struct task_struct *task)
{
#ifdef HAVE_TASK_STRUCT_LOGINUID
	return READ_TASK(task, loginuid);
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

/* The tracer runs it before anything is attached, to learn how deep its own namespace is. */
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
 * Returns a task's pid in the tracer's pid namespace. A struct pid has one number for each level,
 * from the initial namespace down to the task's own (alloc_pid(), kernel/pid.c).
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

/* Fills in the current task as the sender; leaves the process unknown for a kernel thread. */
static inline void fill_process(struct flow *flow)
{
	struct task_struct *task = CURRENT_TASK();
	struct task_struct *leader = READ_TASK(task, group_leader);
	struct task_struct *parent = READ_TASK(READ_TASK(leader, real_parent), group_leader);
	u64 pid_tgid = bpf_get_current_pid_tgid();

	if (READ_TASK(task, flags) & PF_KTHREAD) {
		flow->via = VIA_KERNEL;
		return;
	}
	flow->initial_pid = pid_tgid >> 32;
	flow->pid = tracers_pid(leader, pid_tgid >> 32);
	flow->tid = tracers_pid(task, pid_tgid);
	flow->ppid = tracers_pid(parent, READ_TASK(parent, tgid));
	flow->uid = bpf_get_current_uid_gid();
	flow->start_time = READ_TASK(leader, start_boottime);
	flow->exec_id = READ_TASK(task, self_exec_id);
	flow->loginuid = loginuid_of(task);
	flow->cgroup = bpf_get_current_cgroup_id();
	flow->process_netns = READ_TASK(READ_TASK(READ_TASK(task, nsproxy), net_ns), inum);
	/* An older kernel leaves the end of an earlier name behind the NUL (5.10 does). */
	bpf_probe_read_kernel_str(flow->comm, sizeof(flow->comm), &leader->comm);
	bpf_get_current_comm(flow->thread, sizeof(flow->thread));
}
