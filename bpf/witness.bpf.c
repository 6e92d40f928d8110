/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The witness of `sockwatch prove`: counts what is handed to each device's driver, to be compared
 * with what the device says that it has sent. Only dev_hard_start_xmit() comes by here (xmit_one(),
 * net/core/dev.c), and all that does has come by net_dev_queue before; a packet that is handed to a
 * driver past them (__dev_direct_xmit(), netpoll, pktgen, XDP) is counted by the device alone.
 *
 * Counted before the driver and after it, since the driver counts in between. What it counts while
 * nothing is between the two is exact. Both are on one CPU: softirqs are off, and with them there is
 * no other packet for the same device on this CPU in between, but for one from a device above.
 */

#define NETDEV_TX_BUSY 0x10	/* the packet will be handed over again */

/* A device; a namespace's cookie is never given again, unlike its inode number. */
struct sent_key {
	u64 cookie;
	u32 netns;
	u32 ifindex;
};
_Static_assert(sizeof(struct sent_key) == 16, "tracer/kernel/sent.py says 16");

struct sent {
	u64 started;	/* packets handed to the driver */
	u64 segments;	/* what hardware makes of them */
	u64 ended;	/* packets that the driver has taken, or dropped */
	u64 failed;	/* dropped, as the driver says */
};
_Static_assert(sizeof(struct sent) == 32, "tracer/kernel/sent.py says 32");

BPF_PERCPU_HASH(sent, struct sent_key, struct sent, SENT_ENTRIES);

/*
 * Does nothing refer to the namespace any more: no process, no file, no socket of a process
 * (check_net(), include/net/net_namespace.h)? What the kernel sends from there while it takes the
 * namespace down is nobody's, and no device can be asked about it.
 */
static inline bool has_ended(struct net *net)
{
#if defined(HAVE_NET_NS_REF)
	return !net->ns_ref;
#elif defined(HAVE_NET_NS_COUNT)
	return !net->ns_count;
#elif defined(HAVE_NET_COUNT)
	return !net->count;
#else
	return false;
#endif
}

static inline struct sent *sent_by(struct net_device *dev)
{
	struct net *net = dev->net;
	struct sent none = {};
	struct sent_key key = {
		.netns = net->inum,
		.ifindex = dev->ifindex,
	};

#ifdef HAVE_NET_NET_COOKIE
	key.cookie = net->net_cookie;
#endif
	if (has_ended(net))
		return 0;
	struct sent *found = sent.lookup(&key);
	if (found)
		return found;
	sent.insert(&key, &none);
	/* it need not be this process's packet, nor its namespace: then a name may lead there */
	tell_of(net, (struct task_struct *)bpf_get_current_task());
	return sent.lookup(&key);
}

int net_dev_start_xmit(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct sent *sent_ = sent_by((struct net_device *)ctx[1]);

	if (!sent_)
		return 0;	/* if there was no room, the device will disagree */
	sent_->started++;
	sent_->segments += segments_of(skb);
	return 0;
}

/* The driver owns the packet by now, unless it is busy. */
int net_dev_xmit(u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	int rc = ctx[1];
	struct sent *sent_ = sent_by((struct net_device *)ctx[2]);

	if (!sent_ || sent_->ended == sent_->started)
		return 0;	/* it was handed over before the other hook was there */
	if (rc == NETDEV_TX_BUSY) {
		sent_->started--;
		sent_->segments -= segments_of(skb);
		return 0;
	}
	sent_->ended++;
	if (rc)
		sent_->failed++;
	return 0;
}
