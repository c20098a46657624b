# The norm of gradients, and steps of optimizers in place.

def global_norm(arrays) -> float:
    """Euclidean norm of all the arrays together."""
    cdef cnp.ndarray array
    cdef double total = 0
    for value in arrays:
        array = cnp.PyArray_GETCONTIGUOUS(value)
        total += frnn_sum_of_squares(_dtype_id("arrays", array), cnp.PyArray_SIZE(array), cnp.PyArray_DATA(array))
    return sqrt(total)


def scale_(arrays, double factor) -> None:
    """Multiply every array in place."""
    cdef cnp.ndarray array
    cdef int dtype_id
    for value in arrays:
        array = _array("arrays", value)
        dtype_id = _dtype_id("arrays", array)
        array = _writable("arrays", array, _type_number(dtype_id), array.ndim, array.shape)
        frnn_scale(dtype_id, cnp.PyArray_SIZE(array), factor, cnp.PyArray_DATA(array))


cdef int _optimizer_arrays(frnn_optimizer_args *args, object param, object grad) except -1:
    """Fill param and grad and clear the rest; returns the dtype id."""
    cdef cnp.ndarray array = _array("param", param)
    cdef int dtype_id = _dtype_id("param", array), type_number = _type_number(dtype_id)
    memset(args, 0, sizeof(frnn_optimizer_args))
    args.n = cnp.PyArray_SIZE(array)
    args.param = cnp.PyArray_DATA(_writable("param", array, type_number, array.ndim, array.shape))
    array = _checked("grad", grad, type_number, array.ndim, array.shape)
    if not cnp.PyArray_IS_C_CONTIGUOUS(array):
        raise ValueError("grad must be C-contiguous")
    args.grad = cnp.PyArray_DATA(array)
    return dtype_id


cdef void *_optimizer_state(str name, object value, cnp.ndarray param) except? NULL:
    """Pointer to a state array of the shape and type of param, which has been checked; None has none."""
    if value is None:
        return NULL
    return cnp.PyArray_DATA(_writable(name, value, cnp.PyArray_TYPE(param), param.ndim, param.shape))


def sgd_step(param, grad, momentum_buffer, double lr, double momentum, double dampening, bint nesterov,
             double weight_decay, bint first) -> None:
    """torch.optim.SGD's rule, in place; `first`: the momentum buffer starts as the gradient."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("momentum_buffer", momentum_buffer, param)
    args.lr, args.momentum, args.dampening, args.weight_decay = lr, momentum, dampening, weight_decay
    args.nesterov, args.first = nesterov, first
    with nogil:
        frnn_optimizer_step(FRNN_SGD, dtype_id, &args)


def rmsprop_step(param, grad, square_avg, momentum_buffer, grad_avg, double lr, double alpha, double eps,
                 double momentum, double weight_decay) -> None:
    """torch.optim.RMSprop's rule, in place."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("square_avg", square_avg, param)
    args.state2 = _optimizer_state("momentum_buffer", momentum_buffer, param)
    args.state3 = _optimizer_state("grad_avg", grad_avg, param)
    args.lr, args.alpha, args.eps, args.momentum, args.weight_decay = lr, alpha, eps, momentum, weight_decay
    with nogil:
        frnn_optimizer_step(FRNN_RMSPROP, dtype_id, &args)


def adagrad_step(param, grad, state_sum, double lr, double eps, double weight_decay) -> None:
    """torch.optim.Adagrad's rule, in place; lr is already decayed."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("state_sum", state_sum, param)
    args.lr, args.eps, args.weight_decay = lr, eps, weight_decay
    with nogil:
        frnn_optimizer_step(FRNN_ADAGRAD, dtype_id, &args)


def adam_step(param, grad, exp_avg, exp_avg_sq, double lr, double beta1, double beta2, double eps,
              double weight_decay, bint decoupled, int64_t step) -> None:
    """torch.optim.Adam's rule, or AdamW's if decoupled, in place; steps count from 1."""
    cdef frnn_optimizer_args args
    cdef int dtype_id = _optimizer_arrays(&args, param, grad)
    args.state1 = _optimizer_state("exp_avg", exp_avg, param)
    args.state2 = _optimizer_state("exp_avg_sq", exp_avg_sq, param)
    args.lr, args.beta1, args.beta2, args.eps, args.weight_decay = lr, beta1, beta2, eps, weight_decay
    args.decoupled = decoupled
    args.bias1 = 1.0 - beta1 ** <double>step
    args.bias2_sqrt = sqrt(1.0 - beta2 ** <double>step)
    with nogil:
        frnn_optimizer_step(FRNN_ADAM, dtype_id, &args)
