"""Several processes on one training: there are no collectives here. Programs ask is_available()
and is_initialized() and run as one process; what would need a group says so."""


def is_available():
    return False


def is_initialized():
    return False


def is_torchelastic_launched():
    return False


def _refusing(name):
    def f(*args, **kwargs):
        raise RuntimeError(f"kiln.distributed.{name}: kiln runs in one process and has no "
                           "process groups")

    f.__name__ = name
    return f


for _name in ("init_process_group new_group destroy_process_group get_rank get_world_size "
              "get_backend barrier all_reduce all_gather all_gather_into_tensor all_gather_object "
              "broadcast broadcast_object_list reduce reduce_scatter scatter gather send recv "
              "isend irecv").split():
    globals()[_name] = _refusing(_name)
is_nccl_available = is_gloo_available = is_mpi_available = is_available
