/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel sends to the tracer. tracer/kernel/abi.py mirrors this file; the
 * assertions that it appends to every compile prove that the two agree.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, all zero where
 * none is known. Ports are in host order. Times are nanoseconds of CLOCK_BOOTTIME.
 */

enum event_kind {
	EVENT_SEND = 1,			/* a datagram, or another packet that is no TCP socket's */
	EVENT_CONNECT = 2,		/* TCP: a connection is attempted */
	EVENT_CONNECTED = 3,		/* TCP: the attempt succeeded */
	EVENT_CONNECT_FAILED = 4,	/* TCP: the attempt failed */
	EVENT_ACCEPT = 5,		/* TCP: a connection from elsewhere */
	EVENT_CLOSE = 6,		/* TCP: an established connection ended */
	EVENT_EXISTING = 7,		/* an existing socket: reported by the tracer, by no hook */
	EVENT_FORWARD = 8,		/* a packet that came from a device, and is handed on */
	EVENT_VOLUME = 9,		/* what a flow moved since it was told of: by the tracer, too */
	EVENT_RECEIVE = 10,		/* packets that came for a socket, from the destination */
};

/* How the datagram reached the network layer. */
enum via {
	VIA_SOCKET = 1,		/* a socket of a process, for this protocol */
	VIA_RAW = 2,		/* a raw IP socket */
	VIA_PACKET = 3,		/* a packet socket (AF_PACKET), or one of AF_XDP */
	VIA_KERNEL = 4,		/* the kernel itself: a tunnel, a kernel thread */
	VIA_DEVICE = 5,		/* a device that a process wrote to (tun, tap), or a copy that a
				 * rule made of a process's packet: its socket is not known */
};

/* What the socket is bound to. */
enum bound {
	BOUND_DEVICE = 1 << 0,	/* to an interface, or it names one (IP_UNICAST_IF) */
	BOUND_ADDRESS = 1 << 1,	/* to a local address (IPv4) */
};

/* Which ends of a packet NAT has changed: an end is its address and its port. */
enum nat {
	NAT_SRC = 1 << 0,
	NAT_DST = 1 << 1,
};

#define ERROR_NOT_OBSERVED (-1)	/* the hook cannot know whether it worked */

#define NO_LOGINUID (~0U)	/* AUDIT_UID_UNSET */

#define COMM_LEN 16		/* TASK_COMM_LEN, include/linux/sched.h; IFNAMSIZ too */

/*
 * Pids are those in the tracer's pid namespace. A process that has none there gets its pid
 * in the initial one plus this bit, which no pid has (PID_MAX_LIMIT, include/linux/threads.h).
 */
#define PID_ELSEWHERE 0x80000000U

/*
 * Everything that stays the same from one datagram to the next: the key of the
 * flow table. Process fields are zero where no process can be held responsible.
 */
struct flow {
	u64 start_time;		/* of the process: task_struct.start_boottime */
	u64 cookie;		/* of the socket (SO_COOKIE); 0: not known */
	u64 cgroup;		/* id of the process's cgroup (v2) */
	u64 opener_start_time;	/* EVENT_CLOSE: of the process that connected or accepted */
	u8 saddr[16];		/* both as the sender has named them, before NAT */
	u8 daddr[16];		/* of a packet with a source route: where that ends */
	u8 hop[16];		/* where its packet goes instead: a source route's next stop, or, with
				 * NAT_DST, what NAT made of daddr; all zero: it has none, or none is
				 * known */
	u8 nat_saddr[16];	/* NAT_SRC: what NAT made of saddr; else all zero */
	u32 pid;		/* the process: what user space calls a pid */
	u32 tid;		/* the thread that sent */
	u32 ppid;		/* real_parent's pid */
	u32 uid;		/* real user id, in the initial user namespace */
	u32 loginuid;		/* of the audit system; NO_LOGINUID: none */
	u32 exec_id;		/* how often it has called exec: tells its programs apart */
	u32 process_netns;	/* inode number of the thread's network namespace */
	u32 netns;		/* inode number of the socket's network namespace */
	u32 initial_pid;	/* of the process, in the initial pid namespace */
	u32 opener_pid;		/* EVENT_CLOSE */
	u32 oif;		/* index of the interface that its packet leaves by; without a
				 * packet, that the socket is bound to; of a link-local address,
				 * its zone; 0: not known */
	u32 mark;		/* of its packet; without one, SO_MARK */
	u32 sock_uid;		/* owner of the socket, in the initial user namespace */
	u16 sport;		/* 0: not known, or not bound yet */
	u16 dport;
	u16 nat_sport;		/* NAT_SRC: of its packet; else 0 */
	u16 nat_dport;		/* NAT_DST: of its packet; else 0 */
	u8 kind;		/* enum event_kind */
	u8 proto;		/* of IP: IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP, … */
	u8 via;			/* enum via */
	u8 closed;		/* EVENT_CLOSE: by the process; 0: none was seen to close it */
	u8 bound;		/* enum bound */
	u8 icmp_type;		/* of ICMP and ICMPv6 */
	u8 icmp_code;
	u8 nat;			/* enum nat; of a source route, none is told */
	u32 iif;		/* VIA_DEVICE, EVENT_FORWARD: index of the interface that its packet
				 * came from; else 0 */
	char comm[COMM_LEN];	/* of the thread group's leader: the process's name;
				 * for VIA_KERNEL the device's name */
	char thread[COMM_LEN];	/* of the thread itself; EVENT_FORWARD: the source address in the
				 * packet's Ethernet header (6 bytes), which is the sender's if it
				 * was bridged, and the interface's if it was routed */
};

struct event {
	u64 time;
	u64 bytes;		/* payload sent, without the headers that are known here */
	u64 received;		/* EVENT_CLOSE, EVENT_RECEIVE: payload received */
	u64 elapsed;		/* since the attempt (CONNECTED, CONNECT_FAILED) or since it
				 * was established (CLOSE) */
	u32 segments;		/* datagrams that a GSO packet will be cut into; else 1 */
	s32 error;		/* errno, 0 for success, or ERROR_NOT_OBSERVED */
	struct flow flow;
};

/* The aggregated events of one flow: the values of the overflow maps, whose key is struct flow. */
struct aggregate {
	u64 events;		/* how many */
	u64 bytes;
	u64 received;
	u64 elapsed;		/* of the last one */
	u64 first;		/* time */
	u64 last;
	u32 segments;		/* of the last one */
	s32 error;		/* of the last one */
};

/* What a process did: forked (it is the child), called exec, ended. */
enum process_event_kind {
	PROCESS_FORK = 1,
	PROCESS_EXEC = 2,
	PROCESS_EXIT = 3,
};

struct process_event {
	u64 time;
	u64 start_time;		/* identifies it, with the pid */
	u64 parent_start_time;	/* of real_parent */
	u64 forked_by_start_time;
	u32 pid;
	u32 ppid;
	u32 forked_by;		/* PROCESS_FORK: the pid of the process that called fork() */
	u32 exec_id;
	u32 pidns_pid;		/* its pid in its own pid namespace */
	u32 pidns;		/* inode number of that */
	u32 kind;		/* enum process_event_kind */
	u32 pad;
	char comm[COMM_LEN];
};

#define EXE_SIZE 4096		/* bytes of a path; a power of two */
#define ARGS_SIZE 4096		/* bytes of arguments that are kept */
#define ARGS_UNREADABLE (~0U)
#define EXE_DELETED 1		/* its file has been removed */
#define EXE_NAMELESS 2		/* its file is in no directory */

/* PROCESS_EXEC. The text holds the names of the executable's path, last one first, then the
 * arguments; each name and each argument ends with its NUL. */
struct exec_event {
	struct process_event process;
	u64 exe_inode;		/* of the executable, as the next one; 0: not known */
	u32 exe_dev;		/* of its file system: a kernel's dev_t */
	u32 mntns;		/* inode number of the mount namespace that the path holds in */
	u32 exe_size;		/* 0: no path, for example because it is too long */
	u32 exe_flags;
	u32 args_size;		/* of all arguments; what exceeds ARGS_SIZE is left out */
	u32 pad;
	char text[EXE_SIZE + ARGS_SIZE];
};

/* The parts of the filter that are in use (0: all pass). Their values are map entries. */
enum filter_part {
	FILTER_DST = 1 << 0,
	FILTER_SRC = 1 << 1,
	FILTER_DPORT = 1 << 2,
	FILTER_SPORT = 1 << 3,
	FILTER_PID = 1 << 4,
	FILTER_UID = 1 << 5,
	FILTER_COMM = 1 << 6,
	FILTER_NETNS = 1 << 7,
	FILTER_NO_IPV4 = 1 << 8,
	FILTER_NO_IPV6 = 1 << 9,
	FILTER_PROTO = 1 << 10,
	FILTER_FAILED = 1 << 12,	/* failures only */
	FILTER_ACCEPT = 1 << 13,	/* accepted connections as well */
	FILTER_FOLLOW = 1 << 14,	/* the descendants of FILTER_PID's as well */
	FILTER_SUMMARY = 1 << 15,	/* excludes nothing: aggregate only, in the overflow maps */
	FILTER_ADOPT = 1 << 16,		/* excludes nothing: see follow.bpf.c */
	FILTER_EITHER_PORT = 1 << 17,	/* with DPORT and SPORT: one of them is enough */
};

/* The value of a prefix in the tries: what becomes of an address below it. */
enum verdict {
	NOT_INCLUDED = 0,
	INCLUDED = 1,
	EXCLUDED = 2,
};

/* Key of the prefix tries; struct bpf_lpm_trie_key of include/uapi/linux/bpf.h. */
struct prefix {
	u32 length;		/* bits, of 128 */
	u8 addr[16];
};

/* The tracer's pid namespace, if that is not the initial one. */
struct tracers_pids {
	u32 inode;
	u32 level;		/* how many namespaces are above it */
};

/* Counts what the hooks did, with one copy for each CPU. */
struct counters {
	u64 datagrams;		/* datagrams and other packets looked at; not those of TCP sockets */
	u64 changes;		/* state changes of TCP connections looked at */
	u64 matched;		/* passed the filter */
	u64 lost;		/* matched, but neither ring nor overflow map had room */
	u64 unfinished;		/* matched, but its return was missed */
	u64 processes_lost;	/* process events for which their ring had no room */
	u64 aggregated;		/* matched, and aggregated in an overflow map */
	u64 unread;		/* packets whose headers cannot be read: they may match */
	u64 unfollowed;		/* descendants for which FILTER_FOLLOW had no room */
	u64 kernel_replies;	/* packets that the kernel made by itself, and that would match */
	u64 received;		/* packets that came for sockets, from what matches */
	u64 received_lost;	/* others like them, for which their maps had no room */
};
