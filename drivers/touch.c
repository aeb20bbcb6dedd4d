/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/touch.h"

#include <sys/ioctl.h>
#include <termios.h>

#include "base/limits.h"

#define RAISED (50 * JMP_USEC_PER_MSEC)
#define LOWERED (100 * JMP_USEC_PER_MSEC)

static bool has_gone(int r)
{
    return r == -EIO || r == -ENODEV || r == -ENXIO;
}

int jmp_touch(struct jmp_call *call, int fd, const char *path)
{
    const int dtr = TIOCM_DTR;
    struct termios settings;
    int r;

    if (tcgetattr(fd, &settings) < 0)
        return jmp_call_fail(call, -errno, "%s is no serial port: %m", path);
    cfmakeraw(&settings);
    cfsetspeed(&settings, B1200);
    if (tcsetattr(fd, TCSANOW, &settings) < 0)
        return jmp_call_fail(call, -errno, "%s cannot be set to 1200 baud: %m", path);
    r = ioctl(fd, TIOCMBIS, &dtr) < 0 ? -errno : 0;
    if (r == 0)
        r = jmp_call_wait(call, -1, 0, jmp_now() + RAISED);
    if (r == -ECANCELED)
        return r;
    if (r == 0)
        r = ioctl(fd, TIOCMBIC, &dtr) < 0 ? -errno : 0;
    /* A terminal without such lines has heard the speed, which is enough for some. */
    if (r < 0 && r != -ENOTTY && r != -EINVAL && !has_gone(r))
        return jmp_call_fail(call, r, "%s: its DTR line cannot be switched: %m", path);
    return jmp_call_wait(call, -1, 0, jmp_now() + LOWERED);
}
