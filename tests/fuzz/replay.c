/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files instead of fuzzing it: each argument is a file, or a folder of files (its
 * corpus, as a plain test). Fails when there is nothing to run.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PATH_SIZE_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned count;

static void die(const char *path)
{
    perror(path);
    exit(1);
}

/* The copy is exactly as large as the file, so that the sanitizer sees a read behind it. */
static void run_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size > 0 ? size : 1);
    FILE *file = fopen(path, "rb");

    if (!data || !file || fread(data, 1, size, file) != size)
        die(path);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    count++;
}

static void run(const char *path)
{
    char child[PATH_SIZE_MAX];
    struct dirent *entry;
    struct stat st;
    DIR *folder;

    if (stat(path, &st) < 0)
        die(path);
    if (!S_ISDIR(st.st_mode)) {
        run_file(path, (size_t)st.st_size);
        return;
    }
    folder = opendir(path);
    if (!folder)
        die(path);
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= (int)sizeof(child))
            die(path);
        run(child);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
