from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('realtime', '0002_audit'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='gateway',
            options={
                'default_permissions': ('view',),
                'managed': False,
                'permissions': (
                    ('disconnect_gateway', 'Can disconnect users and connections'),
                    ('publish_gateway', 'Can publish messages'),
                    ('trace_gateway', 'Can watch the messages of a user or room'),
                ),
                'verbose_name': 'gateway',
                'verbose_name_plural': 'Gateway',
            },
        ),
    ]
