/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reports which processes begin, what they run, and which end. A process may be gone before
 * the tracer reads of its datagram; what it was has been written to a separate ring by then.
 */

#define MAX_NAMES 96		/* of directories and mounts in an executable's path */
#define NAME_SIZE 256		/* NAME_MAX with its NUL */

/* One for each CPU is enough: the kernel skips a program that would interrupt itself there. */
BPF_PERCPU_ARRAY(exec_scratch, struct exec_event, 1);
BPF_RINGBUF_OUTPUT(processes, PROCESS_RING_PAGES);

static inline void output_process(void *event, u64 size)
{
	if (processes.ringbuf_output(event, size, BPF_RB_NO_WAKEUP))
		COUNT(processes_lost);
}

static inline void fill_identity(struct process_event *event, struct task_struct *task, u32 kind)
{
	struct task_struct *leader = READ(task, group_leader);
	struct task_struct *parent = READ(leader, real_parent);
	struct task_struct *parents_leader = READ(parent, group_leader);
	struct pid *pid = READ(leader, thread_pid);
	u32 level = READ(pid, level);
	struct upid inner = {};

	bpf_probe_read_kernel(&inner, sizeof(inner), &pid->numbers[level & 31]);
	event->time = bpf_ktime_get_boot_ns();
	event->start_time = READ(leader, start_boottime);
	event->parent_start_time = READ(parents_leader, start_boottime);
	event->pid = tracers_pid(leader, READ(task, tgid));
	event->ppid = tracers_pid(parents_leader, READ(parents_leader, tgid));
	event->exec_id = READ(task, self_exec_id);
	event->pidns_pid = inner.nr;
	event->pidns = READ(inner.ns, inum);
	event->kind = kind;
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), &leader->comm);
}

/*
 * Copies the names of a path from its end to the root, each with its NUL, into the event's text.
 * Returns the number of bytes; 0 if there are too many names, they are too long, or one cannot be
 * read: a part of a path would look like another path. Crosses mounts
 * as prepend_path() (fs/d_path.c) does; mnt_root is the first member of struct vfsmount.
 */
static inline u32 path_names(struct exec_event *event, struct file *file)
{
	struct dentry *dentry = READ(file, dentry);
	struct vfsmount *vfsmount = READ(file, mnt);
	struct mount *mount = (void *)vfsmount - __builtin_offsetof(struct mount, mnt_root);
	/* Kept in map memory, where the verifier does not track its value, so that loop
	 * iterations look alike and are pruned. In a register, verification takes ten times
	 * as long. */
	volatile u32 *size = &event->exe_size;

	*size = 0;
	for (int i = 0; i < MAX_NAMES; i++) {
		struct dentry *parent = READ(dentry, d_parent);
		u32 at = *size;

		if (dentry == READ(mount, mnt_root) || dentry == parent) {
			struct mount *above = READ(mount, mnt_parent);

			if (above == mount)
				return at;
			dentry = READ(mount, mnt_mountpoint);
			mount = above;
			continue;
		}
		if (at > EXE_SIZE - NAME_SIZE)
			return 0;
		u8 *name = READ(dentry, name);
		int length = bpf_probe_read_kernel_str(&event->text[at & (EXE_SIZE - 1)],
						       NAME_SIZE, name);
		if (length <= 0)
			return 0;
		*size = at + (length & (2 * NAME_SIZE - 1));
		dentry = parent;
	}
	return 0;
}

/* Says whether a file is in no directory (memfd_create(2)), or was removed from its own. */
static inline u32 exe_flags(struct file *file)
{
	struct dentry *dentry = READ(file, dentry);

	if (dentry == READ(dentry, d_parent))
		return EXE_NAMELESS;
	return READ(dentry, d_hash_pprev) ? 0 : EXE_DELETED;
}

int sched_process_fork(u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];
	struct task_struct *child = (struct task_struct *)ctx[1];
	struct process_event event = {};

	if (READ(child, pid) != READ(child, tgid))
		return 0;		/* a thread */
	u32 forking = tracers_pid(READ(parent, group_leader), READ(parent, tgid));
	if (active_filter_parts() & FILTER_FOLLOW && pids.lookup(&forking))
		follow(child);
	fill_identity(&event, child, PROCESS_FORK);
	/* the child goes on with this one's program; with CLONE_PARENT it is not its parent */
	event.forked_by = forking;
	event.forked_by_start_time = READ(READ(parent, group_leader), start_boottime);
	output_process(&event, sizeof(event));
	return 0;
}

int sched_process_exec(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct mm_struct *mm = READ(task, mm);
	struct file *file = READ(mm, exe_file);
	u32 zero = 0;
	struct exec_event *event = exec_scratch.lookup(&zero);

	if (!event)
		return 0;
	fill_identity(&event->process, task, PROCESS_EXEC);
	event->process.forked_by = 0;
	event->process.forked_by_start_time = 0;
	event->exe_inode = READ(READ(file, inode), i_ino);
	event->exe_dev = READ(READ(READ(file, inode), i_sb), s_dev);
	event->mntns = READ(READ(READ(task, nsproxy), mnt_ns), inum);
	u64 start = READ(mm, arg_start), length = READ(mm, arg_end) - start;
	u32 exe = path_names(event, file);
	if (!exe && exe_flags(file) & EXE_NAMELESS) {
		u8 *name = READ(READ(file, dentry), name);
		int size = bpf_probe_read_kernel_str(event->text, NAME_SIZE, name);
		exe = size > 0 ? size & (2 * NAME_SIZE - 1) : 0;
	}
	if (exe > EXE_SIZE)
		exe = 0;
	event->exe_size = exe;
	event->exe_flags = exe_flags(file);
	event->args_size = length;
	u32 args = length;
	if (length > ARGS_SIZE)
		args = ARGS_SIZE;
	asm volatile("" : "+r"(args), "+r"(exe));	/* the checks below bound these values */
	if (args > ARGS_SIZE || exe > EXE_SIZE)
		return 0;
	if (bpf_probe_read_user(&event->text[exe], args, (void *)start)) {
		args = 0;
		event->args_size = ARGS_UNREADABLE;
	}
	output_process(event, __builtin_offsetof(struct exec_event, text) + exe + args);
	return 0;
}

int sched_process_exit(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct process_event event = {};

	if (active_filter_parts() & FILTER_ADOPT)
		adopt_children(task);
	if (READ(READ(task, signal), live))
		return 0;		/* not its last thread */
	u32 pid = tracers_pid(READ(task, group_leader), READ(task, tgid));
	pids.delete(&pid);
	fill_identity(&event, task, PROCESS_EXIT);
	output_process(&event, sizeof(event));
	return 0;
}
