/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target once over every file below the directories named: the corpus as a test, with any compiler. */
#include <fts.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    _cleanup_free_ uint8_t *data = NULL;
    struct stat st;
    size_t size;

    if (!file || fstat(fileno(file), &st) < 0) {
        perror(path);
        return -1;
    }

    /* Exactly as large as the input, so that a sanitizer sees a read behind its end. */
    size = (size_t)st.st_size;
    data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return -1;
    }

    LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned files = 0, failed = 0;
    FTS *walk;
    FTSENT *entry;

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS...\n", argv[0]);
        return EXIT_FAILURE;
    }

    walk = fts_open(argv + 1, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk) {
        perror("fts_open");
        return EXIT_FAILURE;
    }

    while ((entry = fts_read(walk))) {
        if (entry->fts_info == FTS_F) {
            files++;
            failed += run_file(entry->fts_path) < 0;
        } else if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR) {
            fprintf(stderr, "%s: cannot be read\n", entry->fts_path);
            failed++;
        }
    }
    fts_close(walk);

    printf("%u files\n", files);
    if (files == 0)
        fprintf(stderr, "an empty corpus tests nothing\n");
    return failed > 0 || files == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
