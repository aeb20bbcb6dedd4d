/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/serial/speed.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <sys/ioctl.h>

int jmp_speed_set(int fd, unsigned baudrate)
{
    struct termios2 settings;

    if (ioctl(fd, TCGETS2, &settings) < 0)
        return -errno;

    settings.c_cflag &= ~(unsigned)(CBAUD | (CBAUD << IBSHIFT));
    settings.c_cflag |= BOTHER;
    settings.c_ospeed = baudrate;
    settings.c_ispeed = baudrate;
    if (ioctl(fd, TCSETS2, &settings) < 0)
        return -errno;

    return 0;
}

int jmp_speed_get(int fd, unsigned *ret)
{
    struct termios2 settings;

    if (ioctl(fd, TCGETS2, &settings) < 0)
        return -errno;

    *ret = settings.c_ospeed;
    return 0;
}
