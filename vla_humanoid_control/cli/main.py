"""The `vla` command: one module a verb, each with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from vla_humanoid_control.support.errors import EXIT_USER_ERROR, UserError
from vla_humanoid_control.support.interrupts import interruptible
from vla_humanoid_control.support.outputs import complain, nobody_reads

VERBS = {
    'demo': ('cli.demo', 'a simulated humanoid carries out commands through the real node graph'),
    'run': ('cli.run', 'the node graph for a robot, without the simulator'),
    'say': ('cli.say', 'a command to a running graph, which confirms it'),
    'stop': ('cli.stop', 'an emergency stop, which safety_monitor confirms'),
    'reset': ('cli.reset', 'releases the latch of an emergency stop'),
    'collect': ('cli.collect', 'demonstrations of the scripted expert'),
    'train': ('cli.train', 'a policy from demonstrations'),
    'trust': ('cli.trust', 'a calibrated confidence for any policy, from its rollouts'),
    'record': ('cli.record', 'how the episodes that a robot recorded have ended'),
    'eval': ('cli.evaluate', 'success, calibration and safety on a suite of episodes'),
    'serve': ('cli.serve', 'a policy for several robots, behind the openpi protocol'),
    'policies': ('cli.policies', 'which policies there are, and whether one does what it must'),
    'models': ('cli.models', 'which architectures there are, with their parts and sizes'),
    'robot': ('cli.robot', "a robot file's model in other forms: URDF, a world for Gazebo"),
    'explain': ('cli.explain', 'where in an image a policy looks for each word, as a picture'),
    'bench': ('cli.bench', 'latency, jitter and speed'),
}
"""Verb to its module, and what it does."""
EXIT_INTERRUPTED = 130
EXIT_NOBODY_READS = 141  # 128 and the number of SIGPIPE, as the shell has it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb.

    Returns:
        0 if all went well, 1 if the verb found a failure, 2 for bad input, 130 if interrupted,
        141 if nobody reads what it prints.
    """
    parser = argparse.ArgumentParser(
        prog='vla', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Vision, language, action: a safe, real-time humanoid controller.',
        epilog='\n'.join(['verbs:', *(f'  {verb:8} {does}' for verb, (_, does) in VERBS.items()),
                          '\nvla VERB --help tells more.']))
    parser.add_argument('verb', choices=VERBS, metavar='VERB', help='what to do, see below')
    given = list(sys.argv[1:] if arguments is None else arguments)
    verb = parser.parse_args(given[:1] or ['--help']).verb
    with interruptible() as interrupted:
        try:
            return _run(verb, given[1:])
        except KeyboardInterrupt:
            print(f'vla {verb}: interrupted', file=sys.stderr)
            return EXIT_INTERRUPTED
        except Exception as error:
            if interrupted:  # in an import, for example, that made another error of it
                print(f'vla {verb}: interrupted', file=sys.stderr)
                return EXIT_INTERRUPTED
            if isinstance(error, BrokenPipeError) and nobody_reads(sys.stdout):
                # As `head` does, which has seen enough: other commands end without a word, too.
                return EXIT_NOBODY_READS
            if not isinstance(error, UserError):
                raise
            complain(f'vla {verb}: {error}')
            return EXIT_USER_ERROR


def _run(verb: str, arguments: Sequence[str]) -> int:
    sys.path.append('')  # a policy of one's own is found in the folder that one is in
    # Only the verb's own module is imported: `vla run` needs no simulator, `vla eval` no ROS.
    module = importlib.import_module(f'vla_humanoid_control.{VERBS[verb][0]}')
    own = argparse.ArgumentParser(prog=f'vla {verb}', description=module.__doc__)
    module.add_arguments(own)
    code = int(module.run(own.parse_args(arguments)))
    if sys.stdout is not None:
        sys.stdout.flush()  # here, where it can be told that nobody reads
    return code


if __name__ == '__main__':
    sys.exit(main())
