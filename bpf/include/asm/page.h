/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* BCC's preamble wants the name; ring sizes use SOCKWATCH_RING_PAGES. */
#define PAGE_SIZE 4096UL
