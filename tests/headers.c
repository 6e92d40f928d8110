/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bpf/headers.bpf.c compiled for this machine: reads packets, a line of hex each (the Ethernet
 * type, how many bytes are linear, 1 if a TCP socket sends it, then the bytes from the network header
 * on), and writes what is found in them.
 */

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;

#define inline inline __attribute__((always_inline))
#define bpf_htons htons
#define bpf_ntohs ntohs
#define bpf_htonl htonl

#include "../bpf/event.h"

/* Beyond a packet's end there are ones here; in the kernel, whatever is there. */
static u8 memory[1 << 17];

static void bpf_probe_read_kernel(void *to, u32 size, const void *from)
{
	memcpy(to, from, size);
}

#include "../bpf/addresses.bpf.c"
#include "../bpf/headers.bpf.c"

static void print_addr(const u8 *addr)
{
	char text[INET6_ADDRSTRLEN];

	puts(inet_ntop(AF_INET6, addr, text, sizeof(text)));
}

int main(void)
{
	static char line[1 << 18];

	while (fgets(line, sizeof(line), stdin)) {
		struct event event = {};
		unsigned int type, byte;
		unsigned int linear, of_tcp, size = 0;

		memset(memory, 0xff, sizeof(memory));
		sscanf(line, "%4x%8x%1x", &type, &linear, &of_tcp);
		for (char *at = line + 13; sscanf(at, "%2x", &byte) == 1; at += 2)
			memory[size++] = byte;
		struct packet packet = {
			memory, linear < size ? linear : size, size, htons(type), of_tcp
		};
		struct part part = {};
		enum parsed parsed = parse_packet(&event, &packet, &part);
		if (parsed == CONTINUED) {
			printf("+ %u %llu %u\n", ntohl(part.id), (unsigned long long)event.bytes, part.more);
			print_addr(event.flow.daddr);
			continue;
		}
		if (parsed != PARSED) {
			puts(parsed == UNREAD ? "?" : "-");
			continue;
		}
		bool icmp = is_icmp(event.flow.proto);
		printf("%u %u %u %llu\n", event.flow.proto,
		       icmp ? event.flow.icmp_type : event.flow.sport,
		       icmp ? event.flow.icmp_code : event.flow.dport,
		       (unsigned long long)event.bytes);
		print_addr(event.flow.saddr);
		print_addr(event.flow.daddr);
		print_addr(event.flow.hop);
	}
	return 0;
}
