/*
 * faulty_disk.h - the disk under the state files of a run: full, broken or read-only when somebody says so.
 *
 * Model: a layer over sqlite's own files, in its place from the first use on. A disk belongs to a replica: to all files
 * whose names end in /state-N.db, and what sqlite keeps beside them. What a full disk has it still reads; a broken one
 * neither reads nor writes; one that is read-only writes nothing, and opens no file for it.
 *
 * Ownership: process-wide.   Errors: sqlite's own.   Bounds: FAULTY_DISKS_MAX.
 */
#ifndef CNI_IAM_BENCH_FAULTY_DISK_H
#define CNI_IAM_BENCH_FAULTY_DISK_H

#define FAULTY_DISKS_MAX 4

enum disk_state { DISK_GOOD, DISK_FULL, DISK_BROKEN, DISK_READ_ONLY };
void faulty_disk_set(int replica, enum disk_state state);

#endif
