/* cuda_driver.h: the part of CUDA's driver API that kiln uses, in our own prototypes, so
 * that no toolkit is needed to build. cuda_driver.c opens libcuda.so.1 and fills kl_cu;
 * device_cuda.c calls through it; the stand-in driver of tests/cuda is checked against
 * the same rows. Names and values are those of the driver's binary interface (_v2 where
 * the symbol says so). */
#ifndef KL_CUDA_DRIVER_H
#define KL_CUDA_DRIVER_H

#include "runtime.h"

typedef int cu_result;
typedef int cu_device;
typedef unsigned long long cu_ptr; /* an address in device memory */
typedef struct CUctx_st *cu_context;
typedef struct CUstream_st *cu_stream;
typedef struct CUevent_st *cu_event;
typedef struct CUmod_st *cu_module;
typedef struct CUfunc_st *cu_function;
typedef struct CUmemPoolHandle_st *cu_pool;

enum { /* results that are told apart; all others are named by the driver */
       CU_OK = 0,
       CU_INVALID_VALUE = 1,
       CU_OUT_OF_MEMORY = 2,
       CU_NOT_INITIALIZED = 3,
       CU_INVALID_DEVICE = 101,
       CU_INVALID_IMAGE = 200,
       CU_INVALID_CONTEXT = 201,
       CU_INVALID_HANDLE = 400,
       CU_NOT_FOUND = 500,
       CU_ILLEGAL_ADDRESS = 700,
       CU_LAUNCH_FAILED = 719
};
enum { /* device attributes */
       CU_ATTR_COMPUTE_MAJOR = 75,
       CU_ATTR_COMPUTE_MINOR = 76,
       CU_ATTR_SHARED_OPTIN = 97,
       CU_ATTR_MEMORY_POOLS = 115
};
enum {
    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_NO_TIMING = 2,
    CU_FUNC_MAX_DYNAMIC_SHARED = 8,
    CU_POOL_RELEASE_THRESHOLD = 4,
    CU_JIT_ERROR_LOG = 5,
    CU_JIT_ERROR_LOG_SIZE = 6
};

typedef struct cu_pool_props { /* CUmemPoolProps: 88 bytes in every version */
    int alloc_type;            /* 1: pinned */
    int handle_types;          /* 0: not shared with other processes */
    int location_type;         /* 1: a device */
    int location_id;
    void *security;
    size_t max_size;
    unsigned char reserved[56];
} cu_pool_props;
static_assert(sizeof(cu_pool_props) == 88, "CUmemPoolProps");

/* F(field, symbol, parameters): every driver must have it. */
#define KL_CU_NEEDED(F)                                                                  \
    F(init, cuInit, (unsigned flags))                                                    \
    F(version, cuDriverGetVersion, (int *version))                                       \
    F(error_name, cuGetErrorName, (cu_result r, const char **s))                         \
    F(error_string, cuGetErrorString, (cu_result r, const char **s))                     \
    F(device_count, cuDeviceGetCount, (int *count))                                      \
    F(device_get, cuDeviceGet, (cu_device * device, int ordinal))                        \
    F(device_name, cuDeviceGetName, (char *name, int cap, cu_device device))             \
    F(device_attr, cuDeviceGetAttribute, (int *value, int attr, cu_device device))       \
    F(device_total, cuDeviceTotalMem_v2, (size_t * bytes, cu_device device))             \
    F(ctx_retain, cuDevicePrimaryCtxRetain, (cu_context * ctx, cu_device device))        \
    F(ctx_release, cuDevicePrimaryCtxRelease_v2, (cu_device device))                     \
    F(ctx_push, cuCtxPushCurrent_v2, (cu_context ctx))                                   \
    F(ctx_pop, cuCtxPopCurrent_v2, (cu_context * ctx))                                   \
    F(stream_new, cuStreamCreate, (cu_stream * stream, unsigned flags))                  \
    F(stream_free, cuStreamDestroy_v2, (cu_stream stream))                               \
    F(stream_sync, cuStreamSynchronize, (cu_stream stream))                              \
    F(event_new, cuEventCreate, (cu_event * event, unsigned flags))                      \
    F(event_record, cuEventRecord, (cu_event event, cu_stream stream))                   \
    F(event_sync, cuEventSynchronize, (cu_event event))                                  \
    F(event_free, cuEventDestroy_v2, (cu_event event))                                   \
    F(mem_alloc, cuMemAlloc_v2, (cu_ptr * p, size_t size))                               \
    F(mem_free, cuMemFree_v2, (cu_ptr p))                                                \
    F(host_alloc, cuMemHostAlloc, (void **p, size_t size, unsigned flags))               \
    F(host_free, cuMemFreeHost, (void *p))                                               \
    F(copy_to_device, cuMemcpyHtoDAsync_v2,                                              \
      (cu_ptr dst, const void *src, size_t size, cu_stream stream))                      \
    F(copy_to_host, cuMemcpyDtoHAsync_v2,                                                \
      (void *dst, cu_ptr src, size_t size, cu_stream stream))                            \
    F(copy_on_device, cuMemcpyDtoDAsync_v2,                                              \
      (cu_ptr dst, cu_ptr src, size_t size, cu_stream stream))                           \
    F(fill, cuMemsetD8Async,                                                             \
      (cu_ptr dst, unsigned char byte, size_t size, cu_stream stream))                   \
    F(module_load, cuModuleLoadDataEx,                                                   \
      (cu_module * m, const void *image, unsigned n, int *options, void **values))       \
    F(module_unload, cuModuleUnload, (cu_module m))                                      \
    F(module_function, cuModuleGetFunction,                                              \
      (cu_function * f, cu_module m, const char *name))                                  \
    F(func_set, cuFuncSetAttribute, (cu_function f, int attr, int value))                \
    F(launch, cuLaunchKernel,                                                            \
      (cu_function f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,   \
       unsigned bz, unsigned shared, cu_stream stream, void **params, void **extra))

/* Drivers before CUDA 11.2 lack these: then memory is allocated by cuMemAlloc. */
#define KL_CU_POOLS(F)                                                                   \
    F(pool_new, cuMemPoolCreate, (cu_pool * pool, const cu_pool_props *props))           \
    F(pool_free, cuMemPoolDestroy, (cu_pool pool))                                       \
    F(pool_set, cuMemPoolSetAttribute, (cu_pool pool, int attr, void *value))            \
    F(pool_trim, cuMemPoolTrimTo, (cu_pool pool, size_t keep))                           \
    F(pool_alloc, cuMemAllocFromPoolAsync,                                               \
      (cu_ptr * p, size_t size, cu_pool pool, cu_stream stream))                         \
    F(pool_release, cuMemFreeAsync, (cu_ptr p, cu_stream stream))

#define KL_CU_FIELD(field, symbol, params) cu_result(*field) params;
typedef struct kl_cu_table {
    KL_CU_NEEDED(KL_CU_FIELD)
    KL_CU_POOLS(KL_CU_FIELD)
    bool pools; /* the second group is there */
} kl_cu_table;
#undef KL_CU_FIELD
extern kl_cu_table kl_cu;

/* Opens the driver once a process; true when it is there and cuInit succeeded. The child
 * of a fork that happened after that has no driver: contexts do not survive fork. */
bool kl_cu_open(void);
const char *kl_cu_why(void); /* why not, one line that lives forever */
bool kl_cu_forked(void);     /* this process is such a child */
/* Records "cuda:INDEX: DOING: CUDA_ERROR_X (sentence)" and returns its status. */
kl_status kl_cu_fail(int index, const char *doing, cu_result r);

#endif
