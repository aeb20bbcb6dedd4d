/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/resource.h>

#include "base/limits.h"
#include "base/process.h"

int jmp_process_raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;

    if (limit.rlim_cur >= JMP_DESCRIPTORS_MAX)
        return 0;
    limit.rlim_cur = limit.rlim_max < JMP_DESCRIPTORS_MAX ? limit.rlim_max : JMP_DESCRIPTORS_MAX;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}
