/* test_messages.c: what the C interface says when it is used wrongly: each row is a call
 * and the words of its message, which names the operation, shapes and dtypes and ends
 * with this file's line. tests/style/messages.py lists the messages that no test
 * produces. */
#include "front_test.h"

/* These take no place. */
#define SAYS(call, text)                                                                 \
    do {                                                                                 \
        ck_assert((call) != KL_OK);                                                      \
        ck_assert_msg(strstr(kl_error(), text) != NULL, "%s", kl_error());               \
        kl_error_clear();                                                                \
    } while (0)

static kl_tensor *f(int64_t a, int64_t b)
{
    return kl_ones(kl_shape(a, b), KL_F32);
}

static kl_tensor *i64s(int64_t n)
{
    return kl_arange(0, n, 1, KL_I64);
}

START_TEST(test_create)
{
    float one = 1;
    SAYS(kl_set_default_dtype(KL_I64), "only floating-point types are supported");
    FAILS(kl_zeros(kl_shape(2), (kl_dtype)99), "no such dtype: 99");
    FAILS(kl_zeros(kl_shape(2, -3), KL_F32), "negative dimension -3: [2, -3]");
    FAILS(kl_arange(f(1, 1), 2, 1, KL_F32), "arange: start, end and step are numbers");
    FAILS(kl_arange(0, 2, 0, KL_F32), "arange: step must be nonzero");
    FAILS(kl_tensor_copy(NULL, KL_F32, kl_shape(2)), "the data is NULL");
    FAILS(kl_from_buffer(NULL, KL_F32, kl_shape(2), (int64_t[]){4}, false, NULL, NULL),
          "the data is NULL");
    FAILS(kl_from_buffer(&one, KL_F32, kl_shape(1), (int64_t[]){3}, false, NULL, NULL),
          "stride 3 is no multiple of the element's 4 bytes");
    FAILS(kl_of(KL_F32, kl_shape(3), 1.0, 2.0), "2 elements given for shape [3]");
    FAILS(kl_to(f(1, 1), (kl_dtype)99), "no such dtype");
    FAILS(kl_bitcast(f(1, 1), KL_F64), "bitcast: f32 has other bits than f64");
    FAILS(kl_randperm(-1), "randperm: n must be non-negative, got -1");
    FAILS(kl_randint(5, 5, kl_shape(2), KL_I64),
          "random_ expects 'from' to be less than 'to', but got from=5 >= to=5");
    FAILS(kl_rand(kl_shape(2), KL_I64), "rand: not for int64");
}
END_TEST

START_TEST(test_elements)
{
    kl_tensor *c = kl_complex(f(2, 2), f(2, 2));
    FAILS(kl_add(f(2, 3), f(2, 4)),
          "The size of tensor a (3) must match the size of tensor b "
          "(4) at non-singleton dimension 1");
    FAILS(kl_add(NULL, f(2, 3)), "an operand is NULL");
    FAILS(kl_relu(NULL), "an operand is NULL");
    FAILS(kl_permute(NULL, kl_shape(0)), "a tensor is NULL");
    FAILS(kl_and(f(2, 2), f(2, 2)),
          "not implemented for 'Float'; integers and bool only");
    FAILS(kl_neg(kl_lt(f(2, 2), f(2, 2))), "not supported on bool tensors");
    FAILS(kl_floor(c), "not implemented for 'ComplexFloat'");
    FAILS(kl_add_(kl_to(f(2, 2), KL_I64), 1.5),
          "result type Float can't be cast to the desired output type Long");
    FAILS(kl_add_(f(2, 1), f(2, 3)), "doesn't match the broadcast shape [2, 3]");
    FAILS(kl_where(f(2, 2), 1, 2), "where expected condition to be a boolean tensor");
    FAILS(kl_complex(f(2, 2), kl_to(f(2, 2), KL_F64)), "complex: Expected both inputs");
    FAILS(kl_imag(f(2, 2)),
          "imag is not implemented for tensors with non-complex dtypes");
    FAILS(kl_pow(i64s(3), -2), "Integers to negative integer powers are not allowed");
    FAILS(kl_clamp(f(2, 2), NULL, NULL), "clamp: At least one of 'min' or 'max'");
    FAILS(kl_add_(kl_expand(f(1, 1), kl_shape(4, 4)), 1),
          "unsupported operation: more than one");
}
END_TEST

START_TEST(test_shapes)
{
    kl_tensor *list[] = {f(2, 3), f(3, 3), f(2, 3)}, *flat[] = {i64s(3), f(2, 3)},
              *out[8];
    FAILS(kl_view(f(2, 3), kl_shape(-1, -1)), "only one dimension can be inferred");
    FAILS(kl_view(f(2, 3), kl_shape(-2, 3)), "invalid shape dimension -2");
    FAILS(kl_reshape(f(0, 3), kl_shape(-1, 0)), "cannot reshape tensor of 0 elements");
    FAILS(kl_reshape(f(2, 3), kl_shape(4)), "shape '[4]' is invalid for input of size 6");
    FAILS(kl_view(kl_t(f(2, 3)), kl_shape(6)), "Use .reshape(...) instead");
    FAILS(kl_flatten(f(2, 3), 1, 0), "start_dim cannot come after end_dim");
    FAILS(kl_permute(f(2, 3), kl_shape(0)), "input.dim() = 2 is not equ");
    FAILS(kl_permute(f(2, 3), kl_shape(0, 0)), "permute(): duplicate dims");
    FAILS(kl_lay(f(2, 3), kl_shape(0, 0)), "lay: [0, 0] is not an order of 2 axes");
    FAILS(kl_slice_at(KL_HERE, f(2, 3), 0, 0, 2, 0), "slice step cannot be zero");
    FAILS(kl_narrow_at(KL_HERE, f(2, 3), 1, 2, 2),
          "start (2) + length (2) exceeds dimension size");
    FAILS(kl_select(kl_scalar_tensor(1, KL_F32), 0, 0),
          "cannot be applied to a 0-dim tensor");
    FAILS(kl_select(f(2, 3), 1, 7),
          "index 7 is out of bounds for dimension 1 with size 3");
    FAILS(kl_select(f(2, 3), 9, 0),
          "Dimension out of range (expected to be in range of [-2, 1]");
    FAILS(kl_diagonal_at(KL_HERE, f(2, 3), 0, 1, 1),
          "diagonal dimensions cannot be identical");
    FAILS(kl_unfold_at(KL_HERE, f(2, 3), 1, 9, 1),
          "unfold: size 9 and step 1 do not fit dimension 1 of size 3");
    int64_t huge = (int64_t)1 << 40;
    FAILS(kl_expand(kl_zeros(kl_shape(), KL_F32), kl_shape(huge, huge)),
          "too many elements for 64 bits");
    FAILS(kl_expand(f(2, 3), kl_shape(4, 3)),
          "The expanded size of the tensor (4) must match the existing size (2) at "
          "non-singleton dimension 0");
    FAILS(kl_as_strided_at(KL_HERE, f(2, 3), kl_shape(9), kl_shape(1), 0),
          "leave the storage of 6 elements");
    FAILS(kl_as_strided_at(KL_HERE, f(2, 3), kl_shape(1), kl_shape(), 0),
          "mismatch in length of strides and shape");
    FAILS(kl_split_at(KL_HERE, f(2, 3), 0, 0, out, 8),
          "split expects split_size be positive");
    FAILS(kl_chunk_at(KL_HERE, f(2, 3), 0, 0, out),
          "chunk expects `chunks` to be greater than 0, got: 0");
    FAILS(kl_flip(f(2, 3), kl_shape(1, 1)), "dim 1 appears multiple times");
    FAILS(kl_cat(NULL, 0, 0), "expected a non-empty list of Tensors");
    FAILS(kl_cat(list, 3, 1), "must match except in dimension 1. Expected size 2 but got "
                              "size 3 for tensor number 1");
    FAILS(kl_cat(flat, 2, 0), "Tensors must have same number of dimensions: got 1 and 2");
    list[0] = kl_scalar_tensor(1, KL_F32);
    FAILS(kl_cat(list, 1, 0),
          "zero-dimensional tensor (at position 0) cannot be concatenated");
    list[0] = f(2, 3);
    FAILS(kl_stack(list, 2, 0),
          "stack expects each tensor to be equal size, but got [2, 3]");
    FAILS(kl_repeat(f(2, 3), kl_shape(2)), "Number of dimensions of repeat dims");
    FAILS(kl_repeat(f(2, 3), kl_shape(2, -1)), "repeat: -1 times");
    FAILS(kl_repeat_interleave_at(KL_HERE, f(2, 3), -1, 0),
          "repeat_interleave: -1 times along dimension 0");
    FAILS(kl_pad(f(2, 3), kl_shape(1), 0), "Padding length should be less than or equal");
    FAILS(kl_pad(f(2, 3), kl_shape(-4, 0), 0), "cannot be cropped by");
    FAILS(kl_tril_at(KL_HERE, i64s(3), 0),
          "input tensor must have at least 2 dimensions");
}
END_TEST

START_TEST(test_index)
{
    kl_tensor *bad[] = {f(2, 3)}, *three[] = {i64s(2), i64s(2), i64s(2)},
              *none[] = {NULL, NULL};
    kl_tensor *row[] = {i64s(2)};
    FAILS(kl_index(f(2, 3), bad, 1), "tensors used as indices must be long");
    FAILS(kl_index(f(2, 3), three, 3), "too many indices for tensor of dimension 2");
    FAILS(kl_index(f(2, 3), none, 2), "at least one index is needed");
    FAILS(kl_index_put_(f(2, 3), row, 1, f(5, 5), false),
          "cannot be broadcast to indexing result of shape [2, 3]");
    FAILS(kl_index_select(f(2, 3), 0, kl_reshape(i64s(4), kl_shape(2, 2))),
          "Index is supposed to be a vector");
    FAILS(kl_index_add(f(2, 3), 0, i64s(2), f(5, 3)),
          "Number of indices (2) should be equal to source.size(dim): (5), for dim: 0");
    FAILS(kl_index_add(f(2, 3), 0, i64s(5), f(5, 5)),
          "source tensor shape must match self tensor shape");
    FAILS(kl_gather(f(2, 3), 0, kl_reshape(i64s(8), kl_shape(1, 8))),
          "Expected index [1, 8] to be no larger than self [2, 3]");
    FAILS(kl_scatter_reduce(f(2, 3), 0, kl_reshape(i64s(2), kl_shape(1, 2)), f(1, 2),
                            "mean"),
          "reduce argument must be either sum, prod, amin or amax, got mean");
    FAILS(kl_scatter(f(2, 3), 0, i64s(2), f(1, 2)),
          "scatter: index [2] and src [1, 2] must have as many dimensions");
    FAILS(kl_masked_fill(f(2, 3), f(2, 3), 0), "expected BoolTensor for mask");
    FAILS(kl_one_hot(f(2, 3), 4), "one_hot is only applicable to index tensor");
}
END_TEST

START_TEST(test_reduce)
{
    FAILS(kl_mean(i64s(3)), "mean(): could not infer output dtype");
    FAILS(kl_argmax_at(KL_HERE, f(0, 3), 0, false),
          "Expected reduction dim 0 to have non-zero");
    FAILS(kl_amax(f(0, 3)), "to have non-zero size");
    FAILS(kl_var(i64s(3), kl_axes(), 1, false),
          "mean only support floating point and complex dtypes");
    FAILS(kl_norm(i64s(3), 2, kl_axes(), false),
          "linalg.vector_norm: Expected a floating point");
    kl_tensor *order;
    FAILS(kl_linalg_ldl_factor(kl_zeros(kl_shape(2, 2), KL_F32), false, &order),
          "is zero: ldl_solve would divide by it");
    order = kl_of(KL_I32, kl_shape(2), 1, 2);
    FAILS(kl_linalg_ldl_solve(f(2, 2), order, f(3, 1), false),
          "each A matrix is 2 by 2 but each b matrix is 3 by 1");
    FAILS(kl_linalg_ldl_solve(f(2, 2), f(1, 2), f(2, 1), false), "pivots to be integers");
    FAILS(kl_linalg_ldl_solve(f(2, 2), kl_reshape(order, kl_shape(1, 2)), f(2, 1), false),
          "got pivots with shape [1, 2] instead");
    FAILS(kl_linalg_ldl_solve(f(2, 2), order, kl_to(f(2, 1), KL_F64), false),
          "ldl_solve: Expected LD and B to have the same dtype");
    FAILS(kl_topk_at(KL_HERE, f(2, 3), 9, 1, true, NULL),
          "topk: selected index k out of range: 9 of 3");
    FAILS(kl_item(f(2, 3)) != 0,
          "a Tensor with 6 elements cannot be converted to Scalar");
    float two[2];
    FAILS(kl_copy_out(f(2, 3), two, sizeof two), "8 bytes do not hold the tensor's 24");
}
END_TEST

START_TEST(test_linalg)
{
    kl_tensor *v = kl_ones(kl_shape(3), KL_F32);
    FAILS(kl_matmul(v, kl_ones(kl_shape(4), KL_F32)),
          "inconsistent tensor size, expected tensor [3]");
    FAILS(kl_matmul(f(2, 4), v),
          "matmul: size mismatch, got input (2), mat (2x4), vec (3)");
    FAILS(kl_mm(f(2, 3), v), "mm: mat2 must be a matrix, got 1-D tensor");
    FAILS(kl_bmm(f(2, 3), f(3, 2)), "batch1 must be a 3D tensor");
    FAILS(kl_mv(v, f(3, 2)), "vector + matrix @ vector expected, got 1, 1, 2");
    FAILS(kl_dot(f(2, 3), v), "1D tensors expected, but got 2D and 1D tensors");
    FAILS(kl_dot(v, kl_ones(kl_shape(9), KL_F32)),
          "inconsistent tensor size, expected tensor [");
    FAILS(kl_matmul(f(2, 3), f(2, 3)),
          "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)");
    FAILS(kl_matmul(kl_scalar_tensor(1, KL_F32), v),
          "need to be at least 1D, but they are 0D");
    FAILS(kl_matmul(f(2, 3), kl_to(f(3, 2), KL_F64)),
          "expected m1 and m2 to have the same dtype");
    FAILS(kl_einsum("ij", f(2, 3), f(2, 3)), "does not name the operands and the result");
    FAILS(kl_einsum("ijk,jk->ik", f(2, 3), f(3, 3)),
          "does not fit operand 0 of 2 dimensions");
    FAILS(kl_einsum("ij,jk->ik", f(2, 3), f(4, 3)),
          "einsum: label j has extents 3 and 4");
    FAILS(kl_einsum("ij,jk->iz", f(2, 3), f(3, 3)), "repeats or invents a label");
    FAILS(kl_attention(v, v, v, NULL, false, 0),
          "attention: query, key and value need at least 2");
    FAILS(kl_linear(v, f(2, 4), NULL), "linear: input [3] and weight [2, 4] do not fit");
    FAILS(kl_linear(f(2, 3), f(2, 4), NULL),
          "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x2)");
    kl_tensor *image = kl_ones(kl_shape(1, 3, 4, 4), KL_F32);
    FAILS(kl_conv(image, kl_ones(kl_shape(6, 1, 3, 3), KL_F32), NULL),
          "Given groups=1, weight of size [6, 1, 3, 3], expected input[1, 3, 4, 4] to "
          "have 1 "
          "channels, but got 3 channels instead");
    FAILS(
        kl_conv(f(2, 3), kl_ones(kl_shape(6, 1, 3, 3), KL_F32), NULL),
        "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: "
        "[2, 3]");
    FAILS(
        kl_conv(image, kl_ones(kl_shape(6, 3, 5, 3), KL_F32), NULL),
        "Calculated padded input size per channel: (4 x 4). Kernel size: (5 x 3). Kernel "
        "size can't be greater than actual input size");
    FAILS(kl_conv(f(2, 3), f(2, 3), NULL),
          "conv: input f32 [2, 3] and weight f32 [2, 3]");
    FAILS(kl_layer_norm(f(2, 3), 7, NULL, NULL, 1e-5),
          "7 axes to normalise of a tensor of 2");
    FAILS(kl_group_norm(f(2, 3), 2, NULL, NULL, 1e-5),
          "group_norm: 2 groups of 3 channels");
    FAILS(kl_embedding(i64s(2), v), "'weight' must be 2-D");
    FAILS(kl_dropout(v, 1.5, true),
          "dropout probability has to be between 0 and 1, but got 1.5");
    FAILS(kl_cross_entropy(i64s(3), i64s(3)), "not implemented for 'Long'");
    FAILS(kl_cross_entropy(f(2, 3), i64s(3)), "input [2, 3] and target [3] do not fit");
}
END_TEST

START_TEST(test_gradients)
{
    kl_tensor *w = kl_requires_grad_(f(2, 3)), *y = kl_mul(w, 2), *grad;
    kl_tensor *list[] = {y};
    FAILS(kl_requires_grad_at(KL_HERE, y, false),
          "you can only change requires_grad flags of leaf");
    SAYS(kl_set_grad(w, f(3, 3)), "attempting to assign a gradient of size '[3, 3]'");
    SAYS(kl_retain_grad(f(2, 3)),
         "can't retain_grad on Tensor that has requires_grad=False");
    FAILS(kl_backward(kl_sum(f(2, 3))),
          "does not require grad and does not have a grad_fn");
    FAILS(kl_backward_at(KL_HERE, y, f(3, 3), false, false),
          "Mismatch in shape: grad_output");
    kl_tensor *other = f(2, 2), *of[] = {other};
    FAILS(kl_grad(kl_sum(y), of, 1, &grad),
          "One of the differentiated Tensors does not require");
    kl_tensor *s = kl_sum(kl_mul(y, y));
    kl_backward(s);
    FAILS(kl_backward(s), "Trying to backward through the graph a second time");
    FAILS(kl_sgd_new(NULL, 0), "optimizer got an empty parameter list");
    FAILS(kl_sgd_new(list, 1), "can't optimize a non-leaf Tensor");
    list[0] = w;
    FAILS(kl_sgd_new(list, 1, .nesterov = true), "Nesterov momentum requires a momentum");
    FAILS(kl_optim_step_at(KL_HERE, NULL), "the optimizer is NULL");
    FAILS(kl_optim_minimize_at(KL_HERE, NULL, s), "the optimizer or the loss is NULL");
}
END_TEST

START_TEST(test_files)
{
    kl_tensor *two[] = {f(2, 3), f(2, 3)};
    FAILS(kl_load("", NULL), "the path is NULL or empty");
    FAILS(kl_load("x.doc", NULL), "x.doc: a file ends in .npy, .npz or .safetensors");
    FAILS(kl_save("x.doc", two, 2), "x.doc: a file ends in .npy, .npz or .safetensors");
    FAILS(kl_save("x.npy", two, 2), "x.npy: a .npy file holds one tensor, not 2");
    FAILS(kl_program_load(NULL), "the path is NULL");
    FAILS(kl_program_save(NULL, "x.kl"), "the function or the path is NULL");
}
END_TEST

static void twice(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], 2);
}

/* A list that is NULL, or no place for results, is told; what a call gives beside its
 * result may be left out. */
START_TEST(test_null_lists)
{
    kl_tensor *a = f(2, 3), *i = i64s(2), *out[3] = {NULL}, *w = f(1, 1);
    kl_requires_grad_(w);
    FAILS(kl_cat(NULL, 2, 0), "the list of tensors is NULL");
    FAILS(kl_stack(NULL, 2, 0), "the list of tensors is NULL");
    FAILS(kl_vstack_at(KL_HERE, NULL, 2), "the list of tensors is NULL");
    FAILS(kl_hstack_at(KL_HERE, NULL, 2), "the list of tensors is NULL");
    FAILS(kl_block_diag_at(KL_HERE, NULL, 2), "the list of tensors is NULL");
    FAILS(kl_multi_dot_at(KL_HERE, NULL, 2), "the list of tensors is NULL");
    FAILS(kl_einsum_n_at(KL_HERE, "ij->ij", NULL, 1), "the list of tensors is NULL");
    FAILS(kl_einsum_n_at(KL_HERE, NULL, &a, 1), "the equation is NULL");
    FAILS(kl_einsum(NULL, a, a), "the text of labels is NULL");
    FAILS(kl_cartesian_prod_at(KL_HERE, NULL, 2), "the list of tensors is NULL");
    FAILS(kl_index(a, NULL, 1), "the list of indices is NULL");
    FAILS(kl_clip_grad_norm(NULL, 2, 1), "the list of parameters is NULL");
    FAILS(kl_value_and_grad(NULL, NULL, &w, 1, out), "the function is NULL");
    FAILS(kl_index_reduce_at(KL_HERE, a, 0, i, a, NULL, true), "got NULL");
    FAILS(kl_linalg_qr_at(KL_HERE, a, NULL, out), "unrecognized mode ''");
    FAILS(kl_of_at(KL_HERE, KL_F32, kl_shape(2), 2, NULL), "the data is NULL");
    FAILS(kl_nonzero_padded(a, NULL), "the place for the count is NULL");
    FAILS(kl_lay_after_at(KL_HERE, a, NULL, 2), "the list of tensors is NULL");
    FAILS(kl_compile_at(KL_HERE, NULL, NULL, NULL, 0, 1),
          "the function to trace is NULL");
    SAYS(kl_realize_all(NULL, 2), "the list of tensors is NULL");
    SAYS(kl_copy_out(a, NULL, 24), "the place for the elements is NULL");
    SAYS(kl_peek(a, NULL, 24), "the place for the elements is NULL");
    SAYS(kl_grad(kl_sum(w), NULL, 1, out), "the list of tensors is NULL");
    SAYS(kl_grad(kl_sum(w), &w, 1, NULL), "the place for the results is NULL");
    SAYS(kl_save("/tmp/none.npy", NULL, 1), "the list of tensors is NULL");
    SAYS(kl_plan_at(KL_HERE, &a, 1, NULL), "the place for the cost is NULL");
    SAYS(kl_meshgrid_at(KL_HERE, NULL, 2, true, out) < 0, "the list of tensors is NULL");
    SAYS(kl_split(a, 1, 0, NULL, 2) == 0, "the place for the results is NULL");
    ck_assert(kl_linalg_qr(a, NULL) && kl_linalg_svd(a, NULL, NULL) && kl_frexp(a, NULL));
    ck_assert(kl_linalg_eigh(kl_eye(3, KL_F32), NULL) != NULL);
    ck_assert(kl_linalg_lu_factor(kl_eye(3, KL_F32), NULL) != NULL);
    ck_assert(
        kl_quantile_at(KL_HERE, a, kl_full(kl_shape(), 0.5, KL_F32), 0, false, NULL));
    a = kl_cat((kl_tensor *[]){a, a}, 2, 0); /* a list where it is used */
    ck_assert_int_eq(kl_extent(a, 0), 4);
}
END_TEST

START_TEST(test_null)
{
    float memory[3] = {0};
    kl_tensor *v = kl_from_buffer(memory, KL_F32, kl_shape(3), NULL, true, NULL, NULL);
    kl_tensor *missing[] = {NULL};
    FAILS(kl_add_(v, 1), "the tensor's memory is read-only");
    FAILS(kl_batch_norm(v, NULL, NULL, NULL, NULL, true, 0.1, 1e-5),
          "batch_norm: a tensor of fewer than 2 axes");
    FAILS(kl_instance_norm_at(KL_HERE, v, NULL, NULL, NULL, NULL, true, 0.1, 1e-5),
          "instance_norm: a tensor of fewer than 2 axes");
    SAYS(kl_function_call(NULL, NULL, NULL), "the function is NULL");
    SAYS(kl_cache_trim(-1), "cache_trim: -1 bytes");
    FAILS(kl_to_device(f(1, 1), NULL), "the device's name is NULL");
    SAYS(kl_native(NULL, NULL), "a native function needs a name");
    ck_assert(kl_native("nothing", (kl_c_function)front_setup) == KL_OK);
    FAILS(kl_call_native("nothing", NULL, missing, 1, KL_F32, kl_shape(3)),
          "kl_call_native: input 0 of nothing is NULL");
    kl_native("nothing", NULL);
    FAILS(kl_load("samples/data/digits.csv", "w"), "a file ends in .npy, .npz or");
}
END_TEST

static kl_tensor *nothing(kl_tensor *const *x, int n, void *user)
{
    (void)x, (void)n, (void)user;
    return NULL;
}

static void traced(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_checkpoint(nothing, NULL, in, 1);
}

static void halves(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], 2);
    out[1] = kl_neg(in[0]);
}

START_TEST(test_functions)
{
    kl_input in = {.dtype = KL_F32, .shape = kl_shape(3)};
    kl_function *fn = kl_compile(twice, NULL, &in, 1, 1);
    ck_assert_msg(fn != NULL, "%s", kl_error());
    kl_tensor *list[] = {f(1, 3)};
    FAILS(kl_program_save(fn, "net.txt"), "net.txt: a program's path ends in .kl");
    FAILS(kl_function_pointer(fn, "void(float)"), "a function of 1 inputs and 1 outputs");
    FAILS(kl_call_native_at(KL_HERE, "nobody", NULL, list, 1, KL_F32, kl_shape(3)),
          "kl_call_native: no function is named nobody");
    kl_function_free(fn);
    float x[3] = {1, 2, 3}, y[3];
    fn = kl_compile(halves, NULL, &in, 1, 2);
    SAYS(kl_function_call(fn, (const void *[]){x}, (void *[]){y, y}),
         "output 1 overlaps output 0");
    kl_function_free(fn);
    FAILS(kl_checkpoint(nothing, NULL, list, 1), "checkpoint: the function gave nothing");
    FAILS(kl_compile(traced, NULL, &in, 1, 1), "checkpoint: not in a traced function");
}
END_TEST

START_TEST(test_device)
{
    setenv("KILN_DEVICE", "gpu:0", 1); /* in a process of its own */
    ck_assert(!f(1, 1) && !f(1, 1));
    const char *first = strstr(kl_error(), "no device 'gpu:0'"),
               *why = strstr(kl_error(), " (KILN_DEVICE)");
    ck_assert_msg(first && why && !strstr(why + 4, "KILN_DEVICE"), "%s", kl_error());
    FAILS(f(1, 1), " (KILN_DEVICE)");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("messages");
    TCase *tc = tcase_create("messages");
    tcase_add_checked_fixture(tc, front_setup, front_teardown);
    tcase_add_test(tc, test_create);
    tcase_add_test(tc, test_elements);
    tcase_add_test(tc, test_shapes);
    tcase_add_test(tc, test_index);
    tcase_add_test(tc, test_reduce);
    tcase_add_test(tc, test_linalg);
    tcase_add_test(tc, test_gradients);
    tcase_add_test(tc, test_files);
    tcase_add_test(tc, test_null_lists);
    tcase_add_test(tc, test_null);
    tcase_add_test(tc, test_functions);
    tcase_add_test(tc, test_device);
    suite_add_tcase(s, tc);
    return front_run(s);
}
