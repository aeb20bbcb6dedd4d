/* SPDX-License-Identifier: Apache-2.0 */
#include "base/curl.h"

#include <dlfcn.h>
#include <pthread.h>

#define LIBRARY "libcurl.so.4"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct jmp_curl functions;
static int result;
static char words[256];

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    result = -ENOPKG;
    if (!library) {
        snprintf(words, sizeof(words), "%s", dlerror());
        return;
    }
/* As POSIX has it, an object pointer from dlsym() becomes a function's by way of its storage. */
#define JMP_CURL_LOAD(name)                                                                                            \
    *(void **)&functions.name = dlsym(library, "curl_" #name);                                                         \
    if (!functions.name) {                                                                                             \
        snprintf(words, sizeof(words), LIBRARY " has no curl_" #name);                                                 \
        return;                                                                                                        \
    }
    JMP_CURL_FUNCTIONS(JMP_CURL_LOAD)
#undef JMP_CURL_LOAD
    result = functions.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

const struct jmp_curl *jmp_curl(struct jmp_error *reterr)
{
    pthread_once(&once, load);
    if (result == 0)
        return &functions;
    if (result == -ENOMEM) {
        jmp_error_set(reterr, result, "%m");
        return NULL;
    }
    jmp_error_set(reterr, result, "HTTP needs libcurl: %s", words);
    jmp_error_hint(reterr, "install it: libcurl4 in Debian 12, libcurl4t64 in 13");
    return NULL;
}
