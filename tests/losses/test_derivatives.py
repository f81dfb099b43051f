"""Second derivatives of every loss, and torch.func, whichever way they are asked for."""

import pytest
import torch

from pml_suprank import losses
from tests.losses.cases import ALL_LOSSES, SURROGATE_LOSSES, CosineSimilarity, batch, make

# torch warns of create_graph=True once in a process
pytestmark = pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
EXACT = sorted(set(ALL_LOSSES) - {"BlackBoxAPLoss"})
WITHOUT_REFERENCES = {"CSLLoss", "ProxyClusterLoss"}


def hvp(function, point, direction):
    return torch.autograd.functional.hvp(function, point, direction)[1]


def vhp(function, point, direction):
    return torch.autograd.functional.vhp(function, point, direction)[1]


def of_grad(function, point, direction):
    point = point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(point), point, create_graph=True)
    return torch.autograd.grad(gradient, point, direction)[0]


def of_backward(function, point, direction, **options):
    point = point.clone().requires_grad_()
    function(point).backward(create_graph=True, **{key: [point] for key in options})
    gradient, point.grad = point.grad, None
    (gradient * direction).sum().backward(**{key: [point] for key in options})
    return point.grad


def of_backward_to_inputs(function, point, direction):
    return of_backward(function, point, direction, inputs=True)


def of_func(function, point, direction):
    return torch.func.vjp(torch.func.grad(function), point)[1](direction)[0]


def of_func_twice(function, point, direction):
    def along(point):
        return (torch.func.grad(function)(point) * direction).sum()

    return torch.func.grad(along)(point)


def of_forward_over_two_backwards(function, point, direction):
    """Another second derivative by the trick of two backward passes: of the gradient along a direction."""

    def gradient(point):
        return torch.autograd.grad(function(point), point, create_graph=True)[0]

    return torch.autograd.functional.jvp(gradient, point.requires_grad_(), direction)[1].detach()


WAYS = [
    hvp,
    vhp,
    of_grad,
    of_backward,
    of_backward_to_inputs,
    of_func,
    of_func_twice,
    of_forward_over_two_backwards,
]


def problem(name, with_references, **options):
    """Return the loss as a function of the embeddings, which are among the references if there are any."""
    embeddings, labels = batch(14, dtype=torch.float64)
    if (
        name == "HierarchicalTripletMarginLoss"
    ):  # torch's Euclidean distance has no second derivative at 0
        options["distance"] = CosineSimilarity()
    loss_fn = make(name, **options).double()
    references, ref_labels = batch(18, seed=3, dtype=torch.float64)

    def function(point):
        if not with_references:
            return loss_fn(point, labels)
        all_references = torch.cat([point[:3], references])
        all_labels = torch.cat([labels[:3], ref_labels])
        return loss_fn(point, labels, ref_emb=all_references, ref_labels=all_labels)

    return function, embeddings, torch.randn(embeddings.shape, dtype=torch.float64)


def numerical(function, point, direction, step=1e-6):
    """Return the derivative of the gradient along a direction, from two gradients."""
    ahead, behind = (of_first_order(function, point + s * direction) for s in (step, -step))
    return (ahead - behind) / (2 * step)


def of_first_order(function, point):
    point = point.clone().requires_grad_()
    return torch.autograd.grad(function(point), point)[0]


def check_all_ways(function, point, direction, expected, tolerance):
    scale = expected.abs().max()
    assert scale > 1e-3
    for way in WAYS:
        error = (way(function, point.clone(), direction) - expected).abs().max()
        assert error <= tolerance * scale, f"{way.__name__}: {error / scale}"


@pytest.mark.parametrize("with_references", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_every_loss_has_second_derivatives(name, with_references):
    if with_references and name in WITHOUT_REFERENCES:
        pytest.skip("a loss on proxies has no references")
    arguments = problem(name, with_references)
    check_all_ways(*arguments, numerical(*arguments), 1e-5)


@pytest.mark.parametrize("with_references", [False, True])
@pytest.mark.parametrize("backend", ["blocked", "fast"])
@pytest.mark.parametrize("name", SURROGATE_LOSSES)
def test_second_derivatives_are_those_of_the_definition(name, backend, with_references):
    torch.manual_seed(1)
    expected = of_grad(*problem(name, with_references, backend="dense"))
    torch.manual_seed(1)
    check_all_ways(*problem(name, with_references, backend=backend), expected, 1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_blackbox_has_no_second_derivative(way):
    with pytest.raises(RuntimeError, match="wanted at most one derivative"):
        way(*problem("BlackBoxAPLoss", False))


def test_a_third_derivative():
    function, point, direction = problem("SupAPLoss", True, backend="blocked")

    def second(point):
        return of_grad_along(function, point, direction)

    def of_grad_along(function, point, direction):
        (gradient,) = torch.autograd.grad(function(point), point, create_graph=True)
        return torch.autograd.grad((gradient * direction).sum(), point, create_graph=True)[0]

    point = point.requires_grad_()
    (got,) = torch.autograd.grad((second(point) * direction).sum(), point)
    step = 1e-6
    ends = [second(point + s * direction) for s in (step, -step)]
    expected = (ends[0] - ends[1]) / (2 * step)
    assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_torch_func_sees_every_loss(name):
    embeddings, labels = batch(16)
    loss_fn = make(name)
    point = embeddings.clone().requires_grad_()
    expected = loss_fn(point, labels)
    expected.backward()
    gradient, value = torch.func.grad_and_value(loss_fn)(embeddings, labels)
    torch.testing.assert_close((value, gradient), (expected.detach(), point.grad))
    value, pull_back = torch.func.vjp(lambda e: loss_fn(e, labels), embeddings)
    torch.testing.assert_close((value, pull_back(torch.ones(()))[0]), (expected, point.grad))


def test_torch_func_of_parameters_of_model_and_loss():
    embeddings, labels = batch(16)
    loss_fn, model = make("HAPPIERLoss"), torch.nn.Linear(8, 8)
    parts = torch.nn.ModuleDict({"model": model, "loss": loss_fn})
    values = {name: value.detach() for name, value in parts.named_parameters()}

    def loss(values):
        of = {
            part: {k.partition(".")[2]: v for k, v in values.items() if k.startswith(part)}
            for part in parts
        }
        output = torch.func.functional_call(model, of["model"], embeddings)
        return torch.func.functional_call(loss_fn, of["loss"], (output, labels))

    gradients = torch.func.grad(loss)(values)
    loss_fn(model(embeddings), labels).backward()
    for name, parameter in parts.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


def test_a_graph_gone_back_through_twice_gives_the_same_gradient():
    embeddings, labels = batch(24)
    for backend in ("blocked", "fast"):
        point = embeddings.clone().requires_grad_()
        loss = losses.SupHAPLoss(backend=backend)(point, torch.stack([labels, labels // 2], dim=1))
        first, second = (torch.autograd.grad(loss, point, retain_graph=True)[0] for _ in "ab")
        assert torch.equal(first, second)
