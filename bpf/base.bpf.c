/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Definitions that all later files use. The files are concatenated behind the generated kernel
 * layouts and event.h, because BCC rewrites map access in its main file only;
 * tracer/kernel/probes.py states their order.
 */

#define inline inline __attribute__((always_inline))

#define AF_UNSPEC 0
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define IPPROTO_ICMP 1
#define IPPROTO_IGMP 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_DCCP 33
#define IPPROTO_ESP 50
#define IPPROTO_AH 51
#define IPPROTO_ICMPV6 58
#define IPPROTO_COMP 108
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136
#define PF_IO_WORKER 0x00000010	/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define MAX_PID_NS_LEVEL 32	/* include/linux/pid_namespace.h */

/* Reads FIELD of a kernel object; takes pointers of any origin and yields 0 on a fault. */
#define READ(pointer, field) ({							\
	__typeof__((pointer)->field) value_ = 0;				\
	bpf_probe_read_kernel(&value_, sizeof(value_), &(pointer)->field);	\
	value_;									\
})

/* The same of what a hook was given. Unless it is on a kprobe, the verifier knows its type: then this is
 * a plain load, which costs much less, and also yields 0 on a fault. */
#ifdef UNTYPED_ARGUMENTS
#define READ_ARGUMENT(pointer, field) READ(pointer, field)
#else
#define READ_ARGUMENT(pointer, field) ((pointer)->field)
#endif

/* Keeps LLVM from computing with a pointer before it is compared with 0: the verifier refuses that. */
#define CHECKED(pointer) asm volatile("" : "+r"(pointer))

/* Never loaded: its return value tells the tracer which LLVM compiled the rest. */
int compiler_version(void *ctx)
{
	return __clang_major__ * 10000 + __clang_minor__ * 100 + __clang_patchlevel__;
}
