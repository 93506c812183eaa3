"""What the processes of a team do that do not lead: see ``smbrl.training.team``."""

from __future__ import annotations

from smbrl.data import store
from smbrl.data.episodes import EpisodeStore
from smbrl.errors import SmbrlError
from smbrl.training import team
from smbrl.training.experiment import Experiment
from smbrl.training.pretrain import PretrainLoop
from smbrl.training.seeding import load_globals_state
from smbrl.training.session import Interrupt


def follows(experiment: Experiment) -> bool:
    """Whether this process follows; then its whole part is done when this returns.

    Args:
        experiment: the same in all processes.

    Raises:
        SmbrlError: the batch cannot be shared, the processes see different data, or process 0 has ended.
    """
    if team.size() == 1:
        return False
    if experiment.agent.pretrains:
        team.check(experiment.pretraining.batch)
    if team.rank() == 0:
        return False
    # process 0 alone decides when to stop: a signal that reaches all of them must not break its update
    with Interrupt(lambda _: None) as interrupt, interrupt.patient():
        try:
            _follow(experiment)
        except RuntimeError as error:
            if "gloo" not in str(error) and "NCCL" not in str(error):
                raise
            raise SmbrlError("process 0 has ended, so the others end too: see what it says") from error
    return True


def _follow(experiment: Experiment) -> None:
    with team.joined(experiment.agent.compute.device) as own:
        assert own is not None
        begun = own.receive()
        if not begun:
            return  # the model is there already, or none is needed
        dataset = store.ensure(experiment.task, seed=experiment.pretraining.data_seed)
        if dataset.content_hash != begun["data_hash"]:
            raise SmbrlError(
                f"data set {dataset.id} has the content hash {dataset.content_hash[:12]} for process {own.rank} and "
                f"{begun['data_hash'][:12]} for process 0: give all machines the same $SMBRL_HOME, or the same data"
            )
        seed = experiment.pretraining_seed
        agent = experiment.new_agent(seed)
        episodes = EpisodeStore.from_dataset(dataset, agent.compute.device)
        loop = PretrainLoop(agent, episodes, experiment.pretraining, seed, own)
        loop.load_state(begun["phase"])
        load_globals_state(begun["globals"])
        loop.follow()
