/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* BCC writes this number into the program; kernels since 5.0 ignore it
 * (commit 6c4fc209fcf9), and nothing here may depend on a version. */
#define KERNEL_VERSION(major, minor, patch) (((major) << 16) + ((minor) << 8) + (patch))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 8, 0)
